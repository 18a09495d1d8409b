"""The commands that a build finds first on its PATH, answered by this process over a Unix socket."""

from __future__ import annotations

import json
import select
import shlex
import socketserver
import sys
import threading
from collections.abc import Callable
from io import BufferedIOBase
from pathlib import Path
from typing import Final

from stepbridge_local.protocols import CommandCall, Output

__all__ = ["ShimServer"]

PROGRAMS: Final = ("docker", "aws")
_CLIENT: Final = Path(__file__).with_name("shim_client.py")


class ShimServer:
    """Puts ``docker``, ``aws`` and this Python's ``python3`` into ``folder / "bin"`` and answers the first two.

    ``answer(call, output)`` gives the exit status. ``folder`` must be private and its path short: the socket's path
    holds 107 characters at most.
    """

    def __init__(self, folder: Path, answer: Callable[[CommandCall, Output], int]) -> None:
        self.bin = folder / "bin"
        self.bin.mkdir()
        socket_path = folder / "s"
        self._server = socketserver.ThreadingUnixStreamServer(str(socket_path), _handler(answer))
        self._server.daemon_threads = True
        self._server.block_on_close = False  # a docker build that nobody waits for any more may take long
        client = f"exec {shlex.quote(sys.executable)} -IS {shlex.quote(str(_CLIENT))} {shlex.quote(str(socket_path))}"
        for program in PROGRAMS:
            self._write(program, f'{client} {program} "$@"')
        for name in ("python3", "python"):
            self._write(name, f'exec {shlex.quote(sys.executable)} "$@"')
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def _write(self, name: str, line: str) -> None:
        script = self.bin / name
        script.write_text(f"#!/bin/sh\n{line}\n")
        script.chmod(0o755)

    def close(self) -> None:
        """Answer no more commands."""
        self._server.shutdown()
        self._server.server_close()


def _handler(answer: Callable[[CommandCall, Output], int]) -> type[socketserver.StreamRequestHandler]:
    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            request = json.loads(self.rfile.readline())
            call = CommandCall(
                program=request["program"],
                arguments=tuple(request["arguments"]),
                folder=Path(request["folder"]),
                environment=request["environment"],
                standard_input=request["input"],
                is_abandoned=lambda: bool(select.select([self.connection], [], [], 0)[0]),  # it says nothing more
            )
            writer = _Writer(self.wfile)
            writer.send({"exit": answer(call, lambda line, error: writer.send({"line": line, "error": error}))})

    return Handler


class _Writer:
    """Sends messages; a command that was killed meanwhile just does not hear them."""

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
