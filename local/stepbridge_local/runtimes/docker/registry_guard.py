"""In front of the registry: lets Docker engines through, and no web page.

A registry asks nobody for a name here, since engines push to loopback without credentials. A web page could use it too:
by a name that resolves to loopback (DNS rebinding), or with requests to another origin. Three headers identify pages,
and none of them can be forged by a page (https://developer.mozilla.org/en-US/docs/Glossary/Forbidden_request_header).
"""

from __future__ import annotations

import json
import socket
import socketserver
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

__all__ = ["RegistryGuard", "refusal_of"]

HEAD_SECONDS: Final = 30.0
LARGEST_HEAD_BYTES: Final = 64 * 1024
CHUNK_BYTES: Final = 256 * 1024
_END_OF_HEAD: Final = b"\r\n\r\n"


def refusal_of(head: bytes, port: int) -> str:
    """Why a request is refused; empty if it is passed on. ``head`` is its request line and headers."""
    headers = [line.partition(b":") for line in head.split(b"\r\n")[1:]]
    named = [(name.strip().lower(), value.strip().decode("latin-1")) for name, _, value in headers]
    hosts = [value for name, value in named if name == b"host"]
    own = (f"127.0.0.1:{port}", f"localhost:{port}")
    if len(hosts) != 1 or hosts[0].lower() not in own:
        return f"Host: found {', '.join(hosts) or 'none'}; expected {own[0]}"
    for name, value in named:
        if name == b"origin" or name.startswith(b"sec-fetch-"):
            return f"{name.decode('latin-1')}: found {value!r}; expected a Docker engine, not a web page"
    return ""


class RegistryGuard(socketserver.ThreadingTCPServer):
    """Listens on a port of loopback, and passes what is no web page's to the registry's Unix socket.

    A connection carries one request, so each is checked. Raises OSError if the port is taken.
    """

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False

    def __init__(self, port: int, registry: Path) -> None:
        super().__init__(("127.0.0.1", port), _Connection)
        self.registry = registry
        self.port: int = self.server_address[1]
        threading.Thread(target=self.serve_forever, name="registry guard", daemon=True).start()

    def stop(self) -> None:
        """End it. Connections that are open end with their request."""
        self.shutdown()
        self.server_close()


class _Connection(socketserver.BaseRequestHandler):
    server: RegistryGuard
    request: socket.socket

    def handle(self) -> None:
        with suppress(OSError):  # a client or the registry that went away costs its own connection
            self.request.settimeout(HEAD_SECONDS)
            head, _, body = self._received().partition(_END_OF_HEAD)
            if why := refusal_of(head, self.server.port):
                self._refuse(why)
                return
            self.request.settimeout(None)
            with socket.socket(socket.AF_UNIX) as registry:
                registry.connect(str(self.server.registry))
                registry.sendall(_closing(head) + _END_OF_HEAD + body)
                threading.Thread(target=_pass_on, args=(self.request, registry), daemon=True).start()
                _pass_on(registry, self.request)

    def _received(self) -> bytes:
        """The bytes up to the end of the head, and what came with them. Raises OSError without such an end."""
        received = b""
        while _END_OF_HEAD not in received:
            chunk = self.request.recv(CHUNK_BYTES)
            if not chunk or len(received) > LARGEST_HEAD_BYTES:
                raise OSError("no head of a request")
            received += chunk
        return received

    def _refuse(self, why: str) -> None:
        body = json.dumps({"errors": [{"code": "DENIED", "message": why}]}).encode()
        head = f"HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        self.request.sendall(f"{head}Connection: close\r\n\r\n".encode() + body)


def _closing(head: bytes) -> bytes:
    """The head with ``Connection: close``, whatever it says of that."""
    lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"connection:")]
    return b"\r\n".join([*lines, b"Connection: close"])


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while chunk := source.recv(CHUNK_BYTES):
            target.sendall(chunk)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
