"""A threaded HTTP/1.1 server for one WSGI application, on the loopback address only."""

from __future__ import annotations

import errno
import logging
import os
import sys
import threading
from typing import Any
from wsgiref.types import WSGIApplication, WSGIEnvironment

from cheroot import wsgi
from cheroot.connections import ConnectionManager
from cheroot.server import ChunkedRFile

from stepbridge_local.errors import ConfigurationError, PortInUseError
from stepbridge_local.settings import LOOPBACK

__all__ = ["HttpServer"]

_log = logging.getLogger(__name__)

_THREADS = 24  # at the start, and as many more whenever all of them are taken
_MOST_THREADS = 480  # a client that sends slowly holds one for up to _IDLE_SECONDS
_KEPT_CONNECTIONS = 500  # cheroot keeps 10; every client of a scheduler's workers and triggers has one or two
_IDLE_SECONDS = 60
_SHUTDOWN_SECONDS = 2
_BACKLOG = 256


class _ChunkedBody(ChunkedRFile):
    """A chunked body whose ``readline`` ends: cheroot 11.1's stops in front of the line feed, for ever."""

    def readline(self, size: int | None = None) -> bytes:
        """One line with its line feed, of at most ``size`` bytes; empty at the body's end."""
        line = bytearray()
        while not line.endswith(b"\n") and (size is None or size < 0 or len(line) < size):
            if not self.buffer:
                self._fetch()  # type: ignore[attr-defined]
            if not self.buffer:
                break
            end = self.buffer.find(b"\n") + 1 or len(self.buffer)
            if size is not None and size >= 0:
                end = min(end, size - len(line))
            line += self.buffer[:end]
            self.buffer = self.buffer[end:]
        return bytes(line)


class _Connections(ConnectionManager):
    """Connections that wait for a request in one selector. A new one gets a thread only once it has sent something."""

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
            environ["wsgi.input"] = _ChunkedBody(self.req.rfile.rfile, self.req.rfile.maxlen, self.req.rfile.bufsize)
        environ["stepbridge.header_names"] = [name.decode("latin-1") for name in self.req.inheaders]
        return environ

    def start_response(self, status: Any, headers: Any, exc_info: Any = None) -> Any:
        """As the base class, which sends the application's ``Connection: close`` and keeps the connection."""
        if ("Connection", "close") in headers:
            self.req.close_connection = True
        return super().start_response(status, headers, exc_info)


class _Server(wsgi.Server):
    keep_alive_conn_limit = _KEPT_CONNECTIONS

    def bind(self, *arguments: Any, **keywords: Any) -> Any:
        """As the base class, which hides the errno in a text. Raises PortInUseError, ConfigurationError."""
        host, port = self.bind_addr
        remedy = "choose another port with --port, or --port 0 for a free one"
        try:
            return super().bind(*arguments, **keywords)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise PortInUseError(f"{host}:{port}", "something listens there already", remedy=remedy) from None
            raise ConfigurationError(f"{host}:{port}", os.strerror(error.errno or 0), remedy=remedy) from None

    def process_conn(self, conn: Any) -> None:
        """As the base class, which never grows its pool: slow clients would keep all others waiting."""
        if self.requests.idle <= self.requests.qsize:
            self.requests.grow(_THREADS)
        super().process_conn(conn)

    def error_log(self, msg: str = "", level: int = logging.INFO, traceback: bool = False) -> None:
        _log.log(level, "%s", msg, exc_info=sys.exc_info() if traceback else None)


class HttpServer:
    """Serves ``application`` from ``serve`` to ``stop``. ``bind`` takes the port before, so that nobody else does."""

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
        """Take the port; who connects now waits for ``serve``. Raises PortInUseError, ConfigurationError."""
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
        self._thread = threading.Thread(target=self._server.serve, name="http-server", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Take no more requests; those under way have two seconds to end."""
        self._server.stop()
        if self._thread is not None:
            self._thread.join()


def _not_ready(_environ: WSGIEnvironment, _start_response: object) -> list[bytes]:
    raise RuntimeError("a request was served before there was an application")
