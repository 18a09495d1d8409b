"""Refuses the requests to S3 that S3 itself refuses, before moto sees them."""

from __future__ import annotations

from datetime import UTC
from email.utils import format_datetime, parsedate_to_datetime
from typing import Final
from urllib.parse import parse_qs
from wsgiref.types import WSGIEnvironment

from stepbridge_local.http.api_call import ApiCall
from stepbridge_local.protocols import ServiceError
from stepbridge_local.services.moto.requests import read_body, s3_place_of
from stepbridge_local.services.s3.rules import S3Call, problem_of_body, problem_of_call

__all__ = ["refusal_of_s3"]

_DATES: Final = ("HTTP_IF_MODIFIED_SINCE", "HTTP_IF_UNMODIFIED_SINCE")
_UNREAD: Final = frozenset({"", "PutObject", "UploadPart", "PostObject"})  # their bodies can be of any size


def refusal_of_s3(environ: WSGIEnvironment, call: ApiCall) -> ServiceError | None:
    """S3's error; None if the rules allow the request, and for calls of other services."""
    if call.service != "s3":
        return None
    _read_dates(environ)
    asked = _asked(environ, call.operation)
    if (problem := problem_of_call(asked)) is not None:
        return problem
    framed = asked.headers.get("x-amz-content-sha256", "").startswith("STREAMING-")
    if environ["REQUEST_METHOD"] not in ("PUT", "POST") or call.operation in _UNREAD or framed:
        return None
    return problem_of_body(asked, read_body(environ))


def _read_dates(environ: WSGIEnvironment) -> None:
    """Bring conditions in all of HTTP's forms of a date into the one that moto reads; others are ignored, as by S3."""
    for name in _DATES:
        if name not in environ:
            continue
        try:
            moment = parsedate_to_datetime(environ[name])
        except ValueError:
            del environ[name]
        else:
            environ[name] = format_datetime(moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC), usegmt=True)


def _asked(environ: WSGIEnvironment, operation: str) -> S3Call:
    bucket, key = s3_place_of(environ)
    try:
        environ["PATH_INFO"].encode("latin-1").decode()
    except UnicodeDecodeError:
        readable = None
    else:
        readable = key
    query = parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True)
    headers = {
        name.removeprefix("HTTP_").replace("_", "-").lower(): str(value)
        for name, value in environ.items()
        if name.startswith("HTTP_")
    }
    return S3Call(operation, bucket, readable, {name: values[0] for name, values in query.items()}, headers)
