"""What web pages and broken clients can do to the endpoint: raw requests to a real local AWS."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from typing import Any
from urllib.parse import urlsplit

import pytest

from stepbridge_local.testing import LocalAwsProcess

JSON = "application/x-amz-json-1.1"
PAGE = {"Origin": "http://attacker.example"}


def address(local_aws: LocalAwsProcess) -> tuple[str, int]:
    parts = urlsplit(local_aws.endpoint_url)
    return str(parts.hostname), int(parts.port or 0)


def ask(local_aws: LocalAwsProcess, method: str, path: str, body: str, headers: dict[str, str]) -> tuple[int, Any]:
    """The status and the headers of the answer."""
    connection = http.client.HTTPConnection(*address(local_aws), timeout=10)
    connection.request(method, path, body.encode(), headers)
    answer = connection.getresponse()
    answer.read()
    return answer.status, answer.headers


def projects(local_aws: LocalAwsProcess) -> list[str]:
    listed: list[str] = local_aws.client("codebuild").list_projects()["projects"]
    return listed


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/"),
        ("OPTIONS", "/"),
        ("PUT", "/some-bucket"),
        ("GET", "/"),
        ("POST", "/_stepbridge/prebuilt-images"),
        ("POST", "/_stepbridge/faults"),
        ("GET", "/_stepbridge/health"),
        ("GET", "/_stepbridge/"),
        ("GET", "/moto-api/"),
    ],
)
@pytest.mark.parametrize(
    "headers",
    [PAGE, {"Origin": "null"}, {"Host": "attacker.example"}, {"Sec-Fetch-Site": "cross-site"}],
    ids=["origin", "null", "host", "site"],
)
def test_a_web_page_is_refused_everywhere(
    local_aws: LocalAwsProcess, method: str, path: str, headers: dict[str, str]
) -> None:
    """Services, the admin API and the pages alike, without a CORS header."""
    status, answered = ask(local_aws, method, path, "", headers)
    assert status == 403
    assert not [name for name in answered if name.lower().startswith("access-control-")]


def test_a_page_cannot_create_a_build_project(local_aws: LocalAwsProcess) -> None:
    """Two such requests used to run a shell."""
    before = projects(local_aws)
    body = json.dumps({"name": "from-a-page", "source": {"type": "NO_SOURCE", "buildspec": "version: 0.2"}})
    target = {"X-Amz-Target": "CodeBuild_20161006.CreateProject", "Content-Type": JSON}
    assert ask(local_aws, "POST", "/", body, {**PAGE, **target})[0] == 403
    assert projects(local_aws) == before


def test_a_form_of_a_page_stores_no_object(local_aws: LocalAwsProcess, name: str) -> None:
    """A browser posts multipart forms to other sites without asking."""
    local_aws.client("s3").create_bucket(Bucket=name)
    form = "--x\r\nContent-Disposition: form-data; name=key\r\n\r\nk\r\n--x\r\nContent-Disposition: form-data; "
    form += "name=file; filename=f\r\n\r\ncontent\r\n--x--\r\n"
    headers = {**PAGE, "Content-Type": "multipart/form-data; boundary=x"}
    assert ask(local_aws, "POST", f"/{name}", form, headers)[0] == 403
    assert local_aws.client("s3").list_objects_v2(Bucket=name)["KeyCount"] == 0


def test_a_refused_body_is_not_taken_for_a_request(local_aws: LocalAwsProcess) -> None:
    """The connection is closed: a body could hold a request of its own."""
    inner = b"GET /_stepbridge/health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    with socket.create_connection(address(local_aws), timeout=10) as connection:
        head = f"POST / HTTP/1.1\r\nHost: attacker.example\r\nContent-Length: {len(inner)}\r\n\r\n"
        connection.sendall(head.encode() + inner)
        answer = b""
        while part := connection.recv(65536):
            answer += part
    assert answer.count(b"HTTP/1.1") == 1
    assert answer.startswith(b"HTTP/1.1 403")


def test_connections_that_say_nothing_or_stop_midway_keep_nobody_waiting(local_aws: LocalAwsProcess) -> None:
    """A hundred of each; a request beside them is answered at once."""
    silent = [socket.create_connection(address(local_aws)) for _ in range(100)]
    stalled = [socket.create_connection(address(local_aws)) for _ in range(100)]
    try:
        for connection in stalled:
            connection.sendall(b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Le")
        started = time.monotonic()
        assert ask(local_aws, "GET", "/_stepbridge/health", "", {})[0] == 200
        assert time.monotonic() - started < 20  # without a thread of its own it would be a minute
    finally:
        for connection in (*silent, *stalled):
            connection.close()


def test_a_body_that_is_chunked_twice_is_read(local_aws: LocalAwsProcess, name: str) -> None:
    """pyarrow's S3 writer sends aws-chunked content with Transfer-Encoding: chunked; a line may begin a chunk."""
    local_aws.client("s3").create_bucket(Bucket=name)
    inner = b"5;chunk-signature=0\r\nhello\r\n0;chunk-signature=0\r\n\r\n"
    pieces = [inner[:20], inner[20:21], inner[21:]]  # the second piece is the line feed alone
    head = (
        f"PUT /{name}/key HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        "Transfer-Encoding: chunked\r\nContent-Encoding: aws-chunked\r\n"
        "x-amz-content-sha256: STREAMING-AWS4-HMAC-SHA256-PAYLOAD\r\nx-amz-decoded-content-length: 5\r\n"
        "Authorization: AWS4-HMAC-SHA256 Credential=local/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, "
        "Signature=0\r\nConnection: close\r\n\r\n"
    )
    answered = threading.Event()

    def send() -> None:
        with socket.create_connection(address(local_aws), timeout=20) as connection:
            connection.sendall(head.encode())
            for piece in pieces:
                connection.sendall(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            connection.sendall(b"0\r\n\r\n")
            if connection.recv(65536).startswith(b"HTTP/1.1 200"):
                answered.set()

    thread = threading.Thread(target=send)
    thread.start()
    thread.join(30)
    assert answered.is_set()
    assert local_aws.client("s3").get_object(Bucket=name, Key="key")["Body"].read() == b"hello"
