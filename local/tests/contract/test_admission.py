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


# --- hostile clients --------------------------------------------------------------------------------------------------
HEAD = "PUT /{name}/key HTTP/1.1\r\nHost: 127.0.0.1\r\n"


def answer_to(local_aws: LocalAwsProcess, *parts: bytes, end: bool = False) -> bytes:
    """The first bytes of the answer to what is sent; empty where the connection is closed without one."""
    with socket.create_connection(address(local_aws), timeout=60) as connection:
        try:
            for part in parts:
                connection.sendall(part)
            if end:
                connection.shutdown(socket.SHUT_WR)
            return connection.recv(65536)
        except (ConnectionResetError, BrokenPipeError):
            return b""


def is_quick(local_aws: LocalAwsProcess) -> bool:
    started = time.monotonic()
    return ask(local_aws, "GET", "/_stepbridge/health", "", {})[0] == 200 and time.monotonic() - started < 20


def test_a_body_that_ends_early_is_no_object(local_aws: LocalAwsProcess, name: str) -> None:
    """Shorter than its Content-Length, or chunks without the last one: nothing is stored."""
    s3 = local_aws.client("s3")
    s3.create_bucket(Bucket=name)
    head = HEAD.format(name=name)
    answer_to(local_aws, f"{head}Content-Length: 100\r\n\r\n".encode(), b"short", end=True)
    answer_to(local_aws, f"{head}Transfer-Encoding: chunked\r\n\r\n".encode(), b"5\r\nshort\r\n", end=True)
    answer_to(local_aws, f"{head}Transfer-Encoding: chunked\r\n\r\n".encode(), b"50\r\nshort", end=True)
    answer_to(local_aws, f"{head}Transfer-Encoding: chunked\r\n\r\n".encode(), b"zz\r\nshort\r\n", end=True)
    assert is_quick(local_aws)
    assert s3.list_objects_v2(Bucket=name)["KeyCount"] == 0


@pytest.mark.parametrize(
    "head",
    [
        "GET /_stepbridge/health HTTP/1.1\r\nHost: 127.0.0.1\r\n" + "X-A: " + "a" * 2_000_000,
        "GET /_stepbridge/health HTTP/1.1\r\nHost: 127.0.0.1\r\n" + "X-A: a\r\n" * 300_000,
        "GET /" + "a" * 2_000_000 + " HTTP/1.1\r\nHost: 127.0.0.1\r\n",
    ],
    ids=["long", "many", "line"],
)
def test_absurd_headers_are_refused(local_aws: LocalAwsProcess, head: str) -> None:
    """By AWS's status for them, or by the end of the connection; they are not kept in memory."""
    answer = answer_to(local_aws, head.encode(), b"\r\n\r\n")
    assert answer == b"" or answer.split()[1] in (b"400", b"413", b"414", b"431"), answer[:200]
    assert is_quick(local_aws)


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: many\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: other\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: 127.0.0.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET /%zz?%zz=%zz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    ],
    ids=lambda head: head[:60].decode("latin-1").replace("\r\n", " "),
)
def test_what_is_no_request_is_the_clients_error(local_aws: LocalAwsProcess, head: bytes) -> None:
    """Never a 500 with a traceback."""
    answer = answer_to(local_aws, head, end=True)
    assert answer == b"" or not answer.split()[1].startswith(b"50") or answer.split()[1] in (b"501", b"505"), answer
    assert is_quick(local_aws)


def test_a_client_that_goes_away_while_it_is_answered(local_aws: LocalAwsProcess, name: str) -> None:
    """Twenty that read a little of a large object; a request beside them is answered."""
    s3 = local_aws.client("s3")
    s3.create_bucket(Bucket=name)
    s3.put_object(Bucket=name, Key="large", Body=b"x" * 30_000_000, ACL="public-read")
    for _ in range(20):
        answer = answer_to(local_aws, f"GET /{name}/large HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        assert answer.startswith(b"HTTP/1.1 200")
    assert is_quick(local_aws)


def test_a_chunk_without_end_is_refused(local_aws: LocalAwsProcess, name: str) -> None:
    """The line with a chunk's length is short, whoever writes it."""
    head = f"{HEAD.format(name=name)}Transfer-Encoding: chunked\r\n\r\n".encode()
    answer = answer_to(local_aws, head, b"5;" + b"x" * 4_000_000)
    assert answer == b"" or answer.split()[1].startswith(b"4"), answer[:200]
    assert is_quick(local_aws)


@pytest.mark.long
def test_clients_that_send_a_byte_now_and_then_hold_nobody_up(own_local_aws: LocalAwsProcess) -> None:
    """Six hundred heads that never end are cut off within a minute; requests beside them are answered meanwhile."""
    dripping = [socket.create_connection(address(own_local_aws)) for _ in range(600)]
    try:
        started = time.monotonic()
        cut_off = 0
        while time.monotonic() - started < 150 and cut_off < len(dripping):
            cut_off = 0
            for connection in dripping:
                try:
                    connection.sendall(b"G")
                except OSError:
                    cut_off += 1
            assert is_quick(own_local_aws)
            time.sleep(1)
        assert cut_off == len(dripping)
    finally:
        for connection in dripping:
            connection.close()
