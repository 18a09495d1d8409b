"""What web pages and broken clients can do to the endpoint: raw requests to a real local AWS."""

from __future__ import annotations

import http.client
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import moto as moto_package
import pytest
from botocore.loaders import create_loader

from stepbridge_local.server import own_addresses
from stepbridge_local.services.operations import SERVICES
from stepbridge_local.testing import LocalAwsProcess

JSON = "application/x-amz-json-1.1"
PAGE = {"Origin": "http://attacker.example"}


def address(local_aws: LocalAwsProcess) -> tuple[str, int]:
    parts = urlsplit(local_aws.endpoint_url)
    return str(parts.hostname), int(parts.port or 0)


def ask(local_aws: LocalAwsProcess, method: str, path: str, body: str, headers: dict[str, str]) -> tuple[int, Any]:
    """The status and the headers of the answer."""
    connection = http.client.HTTPConnection(*address(local_aws), timeout=60)
    connection.request(method, path, body.encode(), headers)
    answer = connection.getresponse()
    answer.read()
    return answer.status, answer.headers


def projects(local_aws: LocalAwsProcess) -> list[str]:
    listed: list[str] = local_aws.client("codebuild").list_projects()["projects"]
    return listed


# --- every address ----------------------------------------------------------------------------------------------------
FOREIGN = [
    PAGE,
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1"},  # another port
    {"Host": "attacker.example"},
    {"Host": "127.0.0.1.attacker.example"},
    {"Sec-Fetch-Site": "cross-site"},
]
SIGNED = "AWS4-HMAC-SHA256 Credential=local/20260101/us-east-1/{}/aws4_request, SignedHeaders=host, Signature=0"
Address = tuple[str, str, dict[str, str]]


def addresses_of_aws() -> Iterator[Address]:
    """Method, path and headers of every operation that the local AWS has, as clients send them."""
    loader = create_loader()
    for service, offer in SERVICES.items():
        model = loader.load_service_model(offer.model, "service-2")
        signed = {"Authorization": SIGNED.format(service)}
        for name in sorted(offer.offered - offer.unmodelled):
            http_part = model["operations"][name]["http"]
            method, path = http_part["method"], re.sub(r"\{[^}]*\}", "x-x", http_part["requestUri"])
            if prefix := model["metadata"].get("targetPrefix"):
                yield method, path, {**signed, "X-Amz-Target": f"{prefix}.{name}", "Content-Type": JSON}
            elif model["metadata"]["protocol"] == "query":
                yield method, f"{path}?Action={name}", signed
            else:
                yield method, path, signed
        yield "POST", "/", signed


def addresses_of_moto() -> Iterator[Address]:
    """Every path for which moto has a handler, in the services of the local AWS and in its own API."""
    moto = Path(moto_package.__path__[0])
    for package in (*(offer.model for offer in SERVICES.values()), "moto_api/_internal"):
        paths = re.findall(r'"((?:\{0\}|/).*)"[ :]', (moto / package / "urls.py").read_text())
        assert paths, package
        for path in paths:
            text = re.sub(r"\(\?P<\w+>[^()]*\)|<[^>]*>", "123456789012", path.replace("{0}", ""))
            for method in ("GET", "POST"):
                yield method, "/" + re.sub(r"[^\w/.-]", "", text).strip("/"), {}


def all_addresses() -> list[Address]:
    own = [(method, re.sub("<[^>]*>", "x-x", path), {}) for method, path in own_addresses()]
    others: list[Address] = [("OPTIONS", "/", {}), ("OPTIONS", "/x-x/x-x", {}), ("HEAD", "/", {})]
    return [*own, *addresses_of_aws(), *addresses_of_moto(), *others]


@pytest.fixture(scope="module")
def verbose_aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAwsProcess]:
    """One whose log has a line for every request that gets as far as being routed."""
    process = LocalAwsProcess(tmp_path_factory.mktemp("verbose") / "data", ("--verbose",))
    process.start()
    yield process
    process.stop()


def test_a_web_page_is_refused_everywhere(verbose_aws: LocalAwsProcess) -> None:
    """At the address of every page, of the admin API and of every operation and path of AWS's services.

    The list is made from the tables from which requests are answered. Each request announces a body that never comes:
    it is refused before that is read, and before anything is routed.
    """
    addresses = all_addresses()
    paths = {path for _, path, _ in addresses}
    assert {"/_stepbridge/faults/x-x", "/_stepbridge/objects/x-x/x-x", "/x-x/x-x?tagging", "/moto-api/reset"} <= paths
    for method, path, headers in addresses:
        for foreign in FOREIGN:
            sent = {"Host": "127.0.0.1", **headers, **foreign, "Content-Length": "100000"}
            head = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{name}: {text}\r\n" for name, text in sent.items())
            answer = whole_answer(verbose_aws, f"{head}\r\n".encode())
            assert answer.startswith(b"HTTP/1.1 403 "), (method, path, foreign, answer[:300])
            assert b"access-control-" not in answer.lower(), (method, path, foreign, answer[:300])
    routed = [line for line in verbose_aws.log.read_text().splitlines() if line.endswith(" ms")]
    assert routed == []


def test_every_address_of_the_list_is_one(verbose_aws: LocalAwsProcess) -> None:
    """The same pages and admin addresses answer others, and the log has a line for each."""
    for method, path in own_addresses():
        if path == "/_stepbridge/prebuilt-images":
            continue  # it builds for a long time
        status, _ = ask(verbose_aws, method, re.sub("<[^>]*>", "x-x", path), "", {})
        assert status in (200, 400, 404, 415), (method, path, status)
        assert f"{method} {path.partition('<')[0]}" in verbose_aws.log.read_text()


def whole_answer(local_aws: LocalAwsProcess, head: bytes, *, end: bool = False) -> bytes:
    """Everything that comes until the server closes the connection; what came within a minute if it does not."""
    answer = b""
    with socket.create_connection(address(local_aws), timeout=60) as connection, suppress(TimeoutError):
        connection.sendall(head)
        if end:
            connection.shutdown(socket.SHUT_WR)
        while part := connection.recv(65536):
            answer += part
    return answer


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
    """400 in S3's words, which the client gets although it has not sent all; they are not kept in memory."""
    answer = whole_answer(local_aws, f"{head}\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 400 "), answer[:200]
    assert b"<Code>RequestHeaderSectionTooLarge</Code>" in answer
    assert is_quick(local_aws)


def test_absurd_headers_of_a_json_service_are_refused_in_json(local_aws: LocalAwsProcess) -> None:
    """400 with the error's name where clients look for it."""
    head = "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Amz-Target: SageMaker.ListProcessingJobs\r\nX-A: " + "a" * 2_000_000
    answered, _, body = whole_answer(local_aws, f"{head}\r\n\r\n".encode()).partition(b"\r\n\r\n")
    assert answered.startswith(b"HTTP/1.1 400 "), answered
    assert b"x-amzn-ErrorType: RequestHeaderSectionTooLarge" in answered
    assert json.loads(body)["__type"] == "RequestHeaderSectionTooLarge"


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 403),
        (b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: attacker.example\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: +1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: many\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: other\r\n\r\n", 501),
        (b"GET / HTTP/9.9\r\nHost: 127.0.0.1\r\n\r\n", 505),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"GET\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nno colon\r\nHost: 127.0.0.1\r\n\r\n", 400),
        (b"GET /\xff\xfe HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 400),
        (b"GET /%zz?%zz=%zz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 404),
    ],
    ids=lambda value: value[:60].decode("latin-1").replace("\r\n", " ") if isinstance(value, bytes) else str(value),
)
def test_what_is_no_request_is_the_clients_error(local_aws: LocalAwsProcess, head: bytes, status: int) -> None:
    """With an error in AWS's shape; never a 500 with a traceback."""
    answer = whole_answer(local_aws, head, end=True)
    assert answer.split()[1] == str(status).encode(), answer
    assert b"<Code>" in answer or b'"__type"' in answer
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
    """The line with a chunk's length is short, whoever writes it. 400, and no object."""
    local_aws.client("s3").create_bucket(Bucket=name)
    head = f"{HEAD.format(name=name)}Transfer-Encoding: chunked\r\n\r\n".encode()
    answer = whole_answer(local_aws, head + b"5;" + b"x" * 4_000_000, end=True)
    assert answer.startswith(b"HTTP/1.1 400 "), answer[:200]
    assert local_aws.client("s3").list_objects_v2(Bucket=name)["KeyCount"] == 0
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
