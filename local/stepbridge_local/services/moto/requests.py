"""Finds the API call of a request. For S3 it is in method, path and query, so moto's router is used."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import parse_qs
from wsgiref.types import StartResponse, WSGIEnvironment

from moto.core.request import Request
from moto.core.routing import get_service_router
from moto.iam.models import get_account_id_from
from werkzeug.exceptions import HTTPException

from stepbridge_local.http.api_call import ApiCall, Credential, credential_of, error_answer, operation_of_target
from stepbridge_local.protocols import ServiceError

__all__ = ["call_of", "form_of", "read_body", "s3_place_of", "send_error"]

DEFAULT_REGION: Final = "us-east-1"
_CHUNK: Final = 65_536
_VIRTUAL_HOST: Final = re.compile(r"(?P<bucket>[a-z0-9][a-z0-9.-]+)\.(s3[.-].*|localhost(:\d+)?)")


def call_of(environ: WSGIEnvironment) -> tuple[ApiCall, Credential | None]:
    """The call of a request, and who signed it."""
    credential = credential_of(environ.get("HTTP_AUTHORIZATION", ""), environ.get("QUERY_STRING", ""))
    service, operation = operation_of_target(environ.get("HTTP_X_AMZ_TARGET", ""))
    service = credential.service if credential is not None else service or _unsigned_service(environ)
    if not operation:
        operation = _s3_operation(environ) if service == "s3" else form_of(environ).get("Action", "")
    region = credential.region if credential is not None else DEFAULT_REGION
    return ApiCall(service, operation, region, _account_id(environ, credential), environ["REQUEST_METHOD"]), credential


def read_body(environ: WSGIEnvironment) -> bytes:
    """The request's body, which can be read again afterwards. Not for uploads, because it is kept in memory."""
    stream = environ["wsgi.input"]
    length = environ.get("CONTENT_LENGTH") or ""
    body: bytes = stream.read(int(length)) if length.isdecimal() else stream.read() if _is_terminated(environ) else b""
    environ["wsgi.input"] = io.BytesIO(body)
    if not length:
        environ["CONTENT_LENGTH"] = str(len(body))
    return body


def form_of(environ: WSGIEnvironment) -> dict[str, str]:
    """The members of a call in the query protocol: of the form in the body, and of the query."""
    text = environ.get("QUERY_STRING", "")
    if environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded"):
        text += "&" + read_body(environ).decode("utf-8", "replace")
    return {name: values[0] for name, values in parse_qs(text, keep_blank_values=True).items()}


def s3_place_of(environ: WSGIEnvironment) -> tuple[str, str]:
    """Bucket and key of a request to S3. Both can be empty."""
    path = environ["PATH_INFO"].encode("latin-1").decode("utf-8", "replace")
    host = _VIRTUAL_HOST.fullmatch(environ.get("HTTP_HOST", ""))
    if host is not None:
        return host["bucket"], path.removeprefix("/")
    bucket, _, key = path.removeprefix("/").partition("/")
    return bucket, key


def _s3_operation(environ: WSGIEnvironment) -> str:
    bucket, key = s3_place_of(environ)
    place = environ | {"PATH_INFO": f"/{bucket}/{key}".encode().decode("latin-1") if key else f"/{bucket}"}
    place.pop("REQUEST_URI", None)
    place.pop("RAW_URI", None)
    place["wsgi.input"] = io.BytesIO()
    try:
        operation, _ = get_service_router("s3").match(Request(place))
    except (HTTPException, NotImplementedError):
        return ""
    return str(operation.name)


def _account_id(environ: WSGIEnvironment, credential: Credential | None) -> str:
    """The account, found like in moto's BaseResponse.get_current_account."""
    given = os.environ.get("MOTO_ACCOUNT_ID") or environ.get("HTTP_X_MOTO_ACCOUNT_ID")
    return str(given or get_account_id_from(credential.access_key_id if credential is not None else ""))


def _unsigned_service(environ: WSGIEnvironment) -> str:
    return "sts" if form_of(environ).get("Action", "").startswith("AssumeRoleWith") else "s3"


def _is_terminated(environ: WSGIEnvironment) -> bool:
    return bool(environ.get("wsgi.input_terminated"))


def send_error(
    call: ApiCall, error: ServiceError, environ: WSGIEnvironment, start_response: StartResponse
) -> Iterable[bytes]:
    """Answer the call with the error."""
    _drain(environ)
    status, headers, body = error_answer(call, error)
    start_response(status, headers)
    return [body]


def _drain(environ: WSGIEnvironment) -> None:
    """Read the rest of the body, so that the client reads the response."""
    stream = environ["wsgi.input"]
    length = environ.get("CONTENT_LENGTH") or ""
    left = int(length) if length.isdecimal() else None
    while left is None or left > 0:
        chunk = stream.read(_CHUNK if left is None else min(_CHUNK, left))
        if not chunk:
            return
        if left is not None:
            left -= len(chunk)
