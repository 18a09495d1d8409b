"""A proxy before a real engine, which answers chosen requests itself, as an engine does that loses a race."""

from __future__ import annotations

import re
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["EngineProxy", "proxied"]

BROKEN = 0  # in the place of a status code: the connection ends without an answer


class EngineProxy(socketserver.ThreadingUnixStreamServer):
    """``refuse`` says which requests are answered here, and how often; all others go on to the engine."""

    daemon_threads = True

    def __init__(self, address: Path, engine: str) -> None:
        super().__init__(str(address), _Exchange)
        self.engine = engine
        self.refused: list[str] = []
        self._attached: list[socket.socket] = []
        self._rules: list[tuple[re.Pattern[str], int, int]] = []
        self._lock = threading.Lock()

    def refuse(self, request: str, status: int, times: int = 1_000_000) -> None:
        """Answer the next ``times`` requests whose first line matches with ``status``."""
        self._rules.append((re.compile(request), status, times))

    def attach(self, connection: socket.socket) -> None:
        """Note a connection on which a container's output comes."""
        self._attached.append(connection)

    def break_off(self) -> None:
        """End every connection on which a container's output comes."""
        for connection in self._attached:
            connection.shutdown(socket.SHUT_RDWR)
        self._attached.clear()

    def answer(self, request: str) -> int | None:
        """The status code that this request gets; None sends it on."""
        with self._lock:
            for number, (pattern, status, times) in enumerate(self._rules):
                if times and pattern.search(request):
                    self._rules[number] = (pattern, status, times - 1)
                    self.refused.append(request)
                    return status
        return None


class _Exchange(socketserver.StreamRequestHandler):
    """One request: each connection is closed after its first answer."""

    server: EngineProxy

    def handle(self) -> None:
        request = self.rfile.readline()
        status = self.server.answer(request.decode().rpartition(" HTTP/")[0])
        if status == BROKEN:
            return
        headers = list(iter(self.rfile.readline, b"\r\n"))
        if status is not None:
            content = b'{"message": "stat /var/lib/docker/overlay2/x: no such file or directory"}'
            head = f"HTTP/1.1 {status} x\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n"
            self.wfile.write(head.encode() + b"Connection: close\r\n\r\n" + content)
            return
        if any(header.lower().startswith(b"upgrade:") for header in headers):
            self.server.attach(self.connection)
        else:
            headers = [header for header in headers if not header.lower().startswith(b"connection:")]
            headers.append(b"Connection: close\r\n")
        with socket.socket(socket.AF_UNIX) as engine:
            engine.connect(self.server.engine)
            engine.sendall(b"".join([request, *headers, b"\r\n"]))
            sender = threading.Thread(target=_copy, args=(self.rfile, engine), daemon=True)
            sender.start()
            with suppress(OSError):
                while chunk := engine.recv(65536):
                    self.wfile.write(chunk)
            with suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)
            sender.join()


def _copy(source: object, engine: socket.socket) -> None:
    with suppress(OSError, ValueError):
        while chunk := source.read1(65536):  # type: ignore[attr-defined]
            engine.sendall(chunk)


@contextmanager
def proxied(engine: str, address: Path) -> Iterator[EngineProxy]:
    """A proxy that listens on the socket ``address``."""
    with EngineProxy(address, engine) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield proxy
        proxy.shutdown()
