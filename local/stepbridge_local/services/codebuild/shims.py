"""The commands that come first on a build's PATH. This process answers them over a Unix socket.

What comes over the socket is controlled by a build, so it is not trusted. It cannot name paths of this machine, and
files come as copies.
"""

from __future__ import annotations

import itertools
import json
import select
import shlex
import shutil
import socketserver
import threading
from collections.abc import Callable
from io import BufferedIOBase
from pathlib import Path
from typing import Any, Final

from stepbridge_local.errors import UnsupportedCommandError
from stepbridge_local.protocols import CommandCall, Output
from stepbridge_local.services.codebuild.sent_files import receive

__all__ = ["ShimServer"]

PROGRAMS: Final = ("docker", "aws")
FAILED: Final = 1
_CLIENT: Final = Path(__file__).with_name("shim_client.py")
_MAX_REQUEST_BYTES: Final = 4 * 1024 * 1024

Answer = Callable[[CommandCall, Output], int]


class ShimServer:
    """Puts ``docker``, ``aws`` and ``python3`` into ``folder / "bin"`` and answers the first two.

    ``answer(call, output)`` gives the exit status. The build sees ``folder`` at ``seen_at``, and runs ``python``. What
    its commands send is kept in ``copies`` while they are answered. ``folder`` must be private and its path short: the
    socket's path holds 107 characters at most.
    """

    def __init__(self, folder: Path, seen_at: str, python: str, copies: Path, answer: Answer) -> None:
        self._bin = folder / "bin"
        self._bin.mkdir()
        shutil.copyfile(_CLIENT, folder / _CLIENT.name)
        self._server = socketserver.ThreadingUnixStreamServer(str(folder / "s"), _handler(answer, copies))
        self._server.daemon_threads = True
        self._server.block_on_close = False  # a docker build whose caller is gone may take long
        client = f"exec {shlex.quote(python)} -IS {seen_at}/{_CLIENT.name} {seen_at}/s"
        for program in PROGRAMS:
            self._write(program, f'{client} {program} "$@"')
        for name in ("python3", "python"):
            self._write(name, f'exec {shlex.quote(python)} "$@"')
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def _write(self, name: str, line: str) -> None:
        script = self._bin / name
        script.write_text(f"#!/bin/sh\n{line}\n")
        script.chmod(0o755)

    def close(self) -> None:
        """Answer no more commands."""
        self._server.shutdown()
        self._server.server_close()


def _handler(answer: Answer, copies: Path) -> type[socketserver.StreamRequestHandler]:
    numbers = itertools.count()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            request = _request(self.rfile.readline(_MAX_REQUEST_BYTES))
            if request is None:
                return
            folder = copies / str(next(numbers))
            folder.mkdir(parents=True)
            writer = _Writer(self.wfile)
            fetched: dict[str, Path] = {}

            def fetch(path: str) -> Path:
                if path not in fetched:
                    writer.send({"send": path})
                    fetched[path] = receive(self.rfile, folder / str(next(numbers)), path)
                return fetched[path]

            call = CommandCall(
                **request,
                fetch=fetch,
                is_abandoned=lambda: bool(select.select([self.connection], [], [], 0)[0]),  # it sends nothing more
            )
            try:
                writer.send({"exit": answer(call, lambda line, error: writer.send({"line": line, "error": error}))})
            except (OSError, UnsupportedCommandError) as error:
                writer.send({"line": f"{call.program}: {error}", "error": True})
                writer.send({"exit": FAILED})
            finally:
                shutil.rmtree(folder, ignore_errors=True)

    return Handler


def _request(line: bytes) -> dict[str, Any] | None:
    """The members of a call; None if no shim sends such a message."""
    try:
        request = json.loads(line)
        found: dict[str, Any] = {
            "program": request["program"],
            "arguments": tuple(map(str, request["arguments"])),
            "environment": {str(name): str(value) for name, value in request["environment"].items()},
            "standard_input": str(request["input"]),
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return found if found["program"] in PROGRAMS else None


class _Writer:
    """Sends messages. If the command was killed meanwhile, they are dropped."""

    def __init__(self, stream: BufferedIOBase) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._gone = False

    def send(self, message: dict[str, object]) -> None:
        with self._lock:
            if self._gone:
                return
            try:
                self._stream.write(json.dumps(message).encode() + b"\n")
                self._stream.flush()
            except (BrokenPipeError, ConnectionResetError):
                self._gone = True
