"""What stands in front of the Docker runtime's registry, with a real server on a Unix socket behind it."""

from __future__ import annotations

import hashlib
import http.client
import socketserver
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from stepbridge_local.runtimes.docker.registry_guard import LARGEST_HEAD_BYTES, RegistryGuard

TIMEOUT_SECONDS = 60


class Registry(BaseHTTPRequestHandler):
    """Answers with the digest of what it got, and remembers which paths it was asked for."""

    protocol_version = "HTTP/1.1"
    asked: list[str]

    def address_string(self) -> str:
        return "unix"

    def log_message(self, *_: object) -> None:
        """Nothing is logged."""

    def do_PUT(self) -> None:
        """With a body of any length."""
        self.asked.append(self.path)
        digest = hashlib.sha256()
        left = int(self.headers["Content-Length"])
        while left:
            chunk = self.rfile.read(min(left, 1 << 20))
            digest.update(chunk)
            left -= len(chunk)
        self._answer(digest.hexdigest().encode())

    def do_GET(self) -> None:
        """As many bytes as the path says."""
        self.asked.append(self.path)
        self._answer(b"x" * int(self.path.rpartition("/")[2]))

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class UnixServer(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


@pytest.fixture
def asked() -> list[str]:
    return []


@pytest.fixture
def guard(asked: list[str]) -> Iterator[RegistryGuard]:
    with tempfile.TemporaryDirectory() as folder:
        socket = Path(folder, "registry.sock")
        server = UnixServer(str(socket), type("Handler", (Registry,), {"asked": asked}))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        guard = RegistryGuard(0, socket)
        yield guard
        guard.stop()
        server.shutdown()
        server.server_close()


def answer(guard: RegistryGuard, headers: dict[str, str], path: str = "/v2/5") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", guard.port, timeout=TIMEOUT_SECONDS)
    connection.request("GET", path, headers=headers)
    response = connection.getresponse()
    return response.status, response.read()


def test_an_engine_is_let_through(guard: RegistryGuard, asked: list[str]) -> None:
    """By both names of loopback; as much in as out; also where the client wants to keep its connection."""
    body = b"layer" * 4_000_000
    connection = http.client.HTTPConnection("127.0.0.1", guard.port, timeout=TIMEOUT_SECONDS)
    connection.request("PUT", "/v2/models/blobs/uploads/1", body, {"Connection": "keep-alive"})
    response = connection.getresponse()
    assert response.read() == hashlib.sha256(body).hexdigest().encode()
    assert answer(guard, {"Host": f"localhost:{guard.port}"}, "/v2/20000000") == (200, b"x" * 20_000_000)
    assert asked == ["/v2/models/blobs/uploads/1", "/v2/20000000"]


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ({"Host": "attacker.example:{port}"}, "Host: found attacker.example"),
        ({"Host": "127.0.0.1"}, "Host: found 127.0.0.1; expected 127.0.0.1:"),
        ({"Host": "127.0.0.1:{port}.attacker.example"}, "Host: found 127.0.0.1"),
        ({"Origin": "https://attacker.example"}, "origin: found 'https://attacker.example'"),
        ({"Origin": "null"}, "origin: found 'null'"),
        ({"Origin": "http://127.0.0.1:{port}"}, "origin: found"),
        ({"Sec-Fetch-Site": "cross-site"}, "sec-fetch-site: found 'cross-site'"),
        ({"sec-fetch-mode": "no-cors"}, "sec-fetch-mode: found 'no-cors'"),
    ],
)
def test_a_web_page_is_not(guard: RegistryGuard, asked: list[str], headers: dict[str, str], found: str) -> None:
    """Neither by DNS rebinding nor from another origin; the registry has nothing to do with it."""
    status, body = answer(guard, {name: value.format(port=guard.port) for name, value in headers.items()})
    assert (status, asked) == (403, [])
    assert found in body.decode()


def test_each_request_is_checked(guard: RegistryGuard, asked: list[str]) -> None:
    """A connection ends with its first request, so none comes in behind an admitted one."""
    connection = http.client.HTTPConnection("127.0.0.1", guard.port, timeout=TIMEOUT_SECONDS)
    connection.request("GET", "/v2/1")
    first = connection.getresponse()
    assert (first.read(), first.getheader("Connection"), first.will_close) == (b"x", None, False)
    left = b""
    with suppress(ConnectionError):
        connection.sock.sendall(f"GET /v2/2 HTTP/1.1\r\nHost: 127.0.0.1:{guard.port}\r\n\r\n".encode())
        left = connection.sock.recv(100)
    assert left == b""
    page = {"Origin": "https://attacker.example"}
    assert answer(guard, page, "/v2/2")[0] == 403
    assert asked == ["/v2/1"]


@pytest.mark.parametrize("sent", [b"GET /v2/1 HTTP/1.1\r\nHost: x", b"x" * (2 * LARGEST_HEAD_BYTES)])
def test_what_has_no_head_costs_its_own_connection(guard: RegistryGuard, asked: list[str], sent: bytes) -> None:
    """Others are answered meanwhile."""
    connection = http.client.HTTPConnection("127.0.0.1", guard.port, timeout=TIMEOUT_SECONDS)
    connection.connect()
    connection.sock.sendall(sent)
    assert answer(guard, {}) == (200, b"xxxxx")
    connection.close()
    assert asked == ["/v2/5"]
