"""boto3 clients for use inside the local AWS. Their requests do not leave the process.

Through the endpoint, a request that makes requests could wait for a server thread that another such request occupies.
"""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any
from urllib.parse import urlsplit
from wsgiref.types import WSGIApplication

import botocore.session
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.config import Config
from werkzeug.test import EnvironBuilder, run_wsgi_app

__all__ = ["in_process_clients"]

_ENDPOINT_URL = "http://127.0.0.1"  # an IP address, so that the bucket is in the path of S3 requests
_NOTHING_OF_THE_HOST = {
    "profile": (None, None, None, None),
    "config_file": (None, None, os.devnull, None),
    "credentials_file": (None, None, os.devnull, None),
}


def in_process_clients(application: WSGIApplication, account_id: str, region: str) -> Callable[[str], Any]:
    """``client(service)`` for clients that act in the account and region; each is created once. Thread safe."""
    session = botocore.session.Session(session_vars=_NOTHING_OF_THE_HOST)
    session.set_credentials("local", "local")
    config = Config(retries={"total_max_attempts": 1}, region_name=region)
    making = threading.Lock()

    def send(request: AWSPreparedRequest, **_: Any) -> Any:
        return _send(application, request, account_id)

    @cache
    def client(service: str) -> Any:
        with making:
            created = session.create_client(service, endpoint_url=_ENDPOINT_URL, config=config)
        created.meta.events.register("before-send.*", send)
        return created

    return client


def _send(application: WSGIApplication, request: AWSPreparedRequest, account_id: str) -> AWSResponse:
    """Pass the request to the application instead of the network."""
    url = urlsplit(str(request.url))
    headers = [(name, _text(value)) for name, value in request.headers.items()]
    headers.append(("x-moto-account-id", account_id))
    environ = EnvironBuilder(
        path=url.path or "/",
        query_string=url.query,
        base_url=_ENDPOINT_URL,
        method=str(request.method),
        headers=headers,
        input_stream=io.BytesIO(_body(request.body)),
    ).get_environ()
    environ["CONTENT_LENGTH"] = str(len(_body(request.body)))
    environ["REQUEST_URI"] = f"{url.path or '/'}?{url.query}" if url.query else url.path or "/"
    environ["stepbridge.header_names"] = [name for name, _ in headers]
    chunks, status, answered = run_wsgi_app(application, environ, buffered=True)
    headers_received: Any = dict(answered)
    return AWSResponse(str(request.url), int(status.split()[0]), headers_received, _Raw(b"".join(chunks)))


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value


def _body(body: Any) -> bytes:
    if body is None:
        return b""
    if isinstance(body, str):
        return body.encode()
    if isinstance(body, bytes | bytearray):
        return bytes(body)
    content: bytes = body.read()
    body.seek(0)
    return content


class _Raw(io.BytesIO):
    """The response's body as botocore reads it."""

    def stream(self, **_: Any) -> Iterator[bytes]:
        yield self.read()
