"""A threaded HTTP/1.1 server for one WSGI application, on the loopback address only."""

from __future__ import annotations

import errno
import logging
import os
import re
import resource
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from wsgiref.types import WSGIApplication, WSGIEnvironment

from cheroot import wsgi
from cheroot.connections import ConnectionManager
from cheroot.server import ChunkedRFile, HTTPConnection, HTTPRequest

from stepbridge_local.errors import ConfigurationError, PortInUseError
from stepbridge_local.http.api_call import ApiCall, error_answer
from stepbridge_local.http.errors import MalformedBodyError
from stepbridge_local.protocols import ServiceError
from stepbridge_local.settings import LOOPBACK

__all__ = ["HttpServer"]

_log = logging.getLogger(__name__)

_THREADS = 24  # at the start, and as many more whenever all are busy
_MOST_THREADS = 1000  # a client that sends slowly holds one
_HEAD_SECONDS = 10  # for a whole head, from its first byte on
_LARGEST_HEAD_BYTES = 128 * 1024
_LARGEST_DROPPED_BYTES = 64 * 1024 * 1024  # of a request that is refused, so that its client reads the answer
_LONGEST_CHUNK_HEAD = 4096
_PIECE_BYTES = 1024 * 1024
_OPEN_FILES = 65536  # every connection is one; systems begin with 1024
_KEPT_CONNECTIONS = 500  # cheroot keeps 10; every client of a scheduler's workers and triggers has one or two
_IDLE_SECONDS = 60
_SHUTDOWN_SECONDS = 2
_BACKLOG = 256


class _ChunkedBody:
    """The content of a chunked body, as a file. Raises MalformedBodyError if the chunks are malformed.

    The class of cheroot 11.1 hangs if a line feed comes first, and keeps a chunk in memory, however long it is.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._left = 0
        self._ended = False

    def read(self, size: int | None = None) -> bytes:
        """As many bytes as there are, at most ``size``."""
        collected = bytearray()
        while (size is None or size < 0 or len(collected) < size) and self._begin_chunk():
            wanted = self._left if size is None or size < 0 else min(self._left, size - len(collected))
            collected += self._take(self._stream.read(min(wanted, _PIECE_BYTES)))
        return bytes(collected)

    def readline(self, size: int | None = None) -> bytes:
        """One line with its line feed, of at most ``size`` bytes; empty at the body's end."""
        line = bytearray()
        bound = sys.maxsize if size is None or size < 0 else size
        while not line.endswith(b"\n") and len(line) < bound and self._begin_chunk():
            line += self._take(self._stream.readline(min(self._left, bound - len(line), _PIECE_BYTES)))
        return bytes(line)

    def readlines(self, _hint: int = 0) -> list[bytes]:
        """All lines that are left."""
        return list(self)

    def __iter__(self) -> Iterator[bytes]:
        while line := self.readline():
            yield line

    def _take(self, block: bytes) -> bytes:
        if not block:
            raise MalformedBodyError("the body ended within a chunk")
        self._left -= len(block)
        if self._left == 0 and self._stream.read(2) != b"\r\n":
            raise MalformedBodyError("a chunk without its line end")
        return block

    def _begin_chunk(self) -> bool:
        """Whether there is something left to read."""
        if self._left == 0 and not self._ended:
            line = self._stream.readline(_LONGEST_CHUNK_HEAD)
            digits = line.partition(b";")[0].strip()
            if not line.endswith(b"\n") or not re.fullmatch(rb"[0-9a-fA-F]{1,16}", digits):
                raise MalformedBodyError(f"{digits[:20]!r} is no length of a chunk")
            self._left = int(digits, 16)
            self._ended = self._left == 0
            while self._ended and self._stream.readline(_LONGEST_CHUNK_HEAD).strip():
                pass  # trailers
        return not self._ended


class _Deadlines:
    """Closes connections that have not sent a whole request head in time, even if they keep sending bytes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._until: dict[int, tuple[float, Any]] = {}
        self._stopped = threading.Event()

    def start(self) -> None:
        threading.Thread(target=self._run, name="http-deadlines", daemon=True).start()

    def stop(self) -> None:
        self._stopped.set()

    @contextmanager
    def watching(self, connection: Any) -> Iterator[None]:
        """Close the connection if the block takes longer than a request head may."""
        with self._lock:
            self._until[id(connection)] = (time.monotonic() + _HEAD_SECONDS, connection)
        try:
            yield
        finally:
            with self._lock:
                del self._until[id(connection)]

    def _run(self) -> None:
        while not self._stopped.wait(1):
            now = time.monotonic()
            with self._lock:
                for until, connection in self._until.values():
                    if now > until:
                        with suppress(OSError):
                            connection.shutdown(socket.SHUT_RDWR)


class _Headers(dict[bytes, bytes]):
    """A head's fields. Raises ValueError for two values of a field that can have only one."""

    def __setitem__(self, name: bytes, value: bytes) -> None:
        if name in (b"Content-Length", b"Host") and self.get(name, value) != value:
            raise ValueError(f"Two values of {name.decode()}")
        super().__setitem__(name, value)


class _Request(HTTPRequest):
    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.inheaders = _Headers()

    def parse_request(self) -> None:
        """Like the base class, but in limited time."""
        with self.server.deadlines.watching(self.conn.socket):
            super().parse_request()

    def read_request_headers(self) -> bool:
        """Like the base class, which takes any integer for a length."""
        if not super().read_request_headers():  # type: ignore[no-untyped-call]
            return False
        if not self.inheaders.get(b"Content-Length", b"0").isdigit():
            self.simple_response("400 Bad Request", "Malformed Content-Length Header.")
            return False
        return True

    def simple_response(self, status: Any, msg: Any = "") -> None:
        """An error in AWS's shape, for a request that no application sees, and the end of the connection.

        Replaces the base class's plain text, which the client may never get: a connection that is closed while unread
        bytes wait is reset. So the rest of what it sends is read, for as long as a head may take.
        """
        code, status, text = _in_words_of_aws(str(status), str(msg))
        call = ApiCall("" if b"X-Amz-Target" in self.inheaders else "s3", "", "", "", "")
        _, headers, body = error_answer(call, ServiceError(code, text, int(status[:3])))
        head = "".join(f"{name}: {value}\r\n" for name, value in headers)
        self.close_connection = True
        with suppress(OSError):
            self.conn.wfile.write(f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body)
            self.conn.wfile.flush()
            self.conn.socket.shutdown(socket.SHUT_WR)
            left = _LARGEST_DROPPED_BYTES
            while left > 0 and (block := self.conn.socket.recv(_PIECE_BYTES)):
                left -= len(block)


def _in_words_of_aws(status: str, message: str) -> tuple[str, str, str]:
    """Code, status line and message of AWS for an error of the server.

    https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
    """
    if status.startswith(("413", "414", "431")):
        text = "Your request header and query parameters exceed the maximum allowed size."
        return "RequestHeaderSectionTooLarge", "400 Bad Request", text
    codes = {"400": "BadRequest", "405": "MethodNotAllowed", "408": "RequestTimeout", "501": "NotImplemented"}
    default = "InternalError" if status.startswith("500") else "BadRequest"
    return codes.get(status[:3], default), status, message or status[4:]


class _Connection(HTTPConnection):
    RequestHandlerClass = _Request


class _Connections(ConnectionManager):
    """Connections wait for a request in one selector. A new one gets a thread only when it has sent something."""

    def _from_server_socket(self, server_socket: Any) -> None:
        """Replaces the base class's answer, a connection to read from at once: one that says nothing held a thread."""
        connection = super()._from_server_socket(server_socket)  # type: ignore[misc]
        if connection is not None:
            self.put(connection)


class _Gateway(wsgi.Gateway_10):
    def get_environ(self) -> Any:
        """With the headers' names as they were spelt: WSGI's own spelling takes an underscore for a dash.

        ``wsgi.input_terminated`` stays only where it is true. werkzeug asks whether it is there, and would take the end
        of a connection for the end of a body.
        """
        environ: WSGIEnvironment = super().get_environ()  # type: ignore[no-untyped-call]
        if not environ["wsgi.input_terminated"]:
            del environ["wsgi.input_terminated"]
        if isinstance(self.req.rfile, ChunkedRFile):
            environ["wsgi.input"] = _ChunkedBody(self.req.rfile.rfile)
        environ["stepbridge.header_names"] = [name.decode("latin-1") for name in self.req.inheaders]
        return environ

    def respond(self) -> None:
        """Like the base class, but a body that cannot be read is the client's error."""
        try:
            super().respond()
        except MalformedBodyError as error:
            if self.req.sent_headers:
                raise
            self.req.simple_response("400 Bad Request", f"The body is malformed: {error}")

    def start_response(self, status: Any, headers: Any, exc_info: Any = None) -> Any:
        """Like the base class, but also closes the connection if the application sends ``Connection: close``."""
        if ("Connection", "close") in headers:
            self.req.close_connection = True
        return super().start_response(status, headers, exc_info)


class _Server(wsgi.Server):
    keep_alive_conn_limit = _KEPT_CONNECTIONS
    max_request_header_size = _LARGEST_HEAD_BYTES
    ConnectionClass = _Connection

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.deadlines = _Deadlines()

    def bind(self, *arguments: Any, **keywords: Any) -> Any:
        """Like the base class, which hides the errno in a text. Raises PortInUseError, ConfigurationError."""
        host, port = self.bind_addr
        remedy = "choose another port with --port, or --port 0 for a free one"
        try:
            return super().bind(*arguments, **keywords)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise PortInUseError(f"{host}:{port}", "something listens there already", remedy=remedy) from None
            raise ConfigurationError(f"{host}:{port}", os.strerror(error.errno or 0), remedy=remedy) from None

    def process_conn(self, conn: Any) -> None:
        """Like the base class, but grows the pool of threads. Otherwise slow clients would keep all others waiting."""
        if self.requests.idle <= self.requests.qsize:
            self.requests.grow(_THREADS)
        super().process_conn(conn)

    def error_log(self, msg: str = "", level: int = logging.INFO, traceback: bool = False) -> None:
        _log.log(level, "%s", msg, exc_info=sys.exc_info() if traceback else None)


class HttpServer:
    """Serves ``application`` from ``serve`` to ``stop``. ``bind`` takes the port earlier, so that nobody else can."""

    def __init__(self, port: int) -> None:
        self._server = _Server(
            (LOOPBACK, port),
            _not_ready,
            numthreads=_THREADS,
            max=_MOST_THREADS,
            request_queue_size=_BACKLOG,
            timeout=_IDLE_SECONDS,
            shutdown_timeout=_SHUTDOWN_SECONDS,
        )
        self._server.gateway = _Gateway
        self._thread: threading.Thread | None = None

    def bind(self) -> None:
        """Take the port. Clients that connect now wait for ``serve``. Raises PortInUseError, ConfigurationError."""
        _allow_many_connections()
        self._server.prepare()
        server: Any = self._server
        server._connections.close()  # there is none yet
        server._connections = _Connections(self._server)

    @property
    def port(self) -> int:
        """The port; the one that was taken where 0 was asked for."""
        port: int = self._server.bind_addr[1]
        return port

    @property
    def url(self) -> str:
        host, port = self._server.bind_addr
        return f"http://{host}:{port}"

    def serve(self, application: WSGIApplication) -> None:
        """Answer requests, in threads of its own; returns at once."""
        self._server.wsgi_app = application
        self._server.deadlines.start()
        self._thread = threading.Thread(target=self._server.serve, name="http-server", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Accept no more requests. Running ones have two seconds to end."""
        self._server.stop()
        self._server.deadlines.stop()
        if self._thread is not None:
            self._thread.join()


def _allow_many_connections() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _not_ready(_environ: WSGIEnvironment, _start_response: object) -> list[bytes]:
    raise RuntimeError("a request was served before there was an application")
