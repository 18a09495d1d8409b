"""One shell for all commands of a build, as in version 0.2 of buildspecs: variables and folder are kept.

It runs in a sandbox. Commands reach it through a named pipe that carries the paths of files with commands; it sees
both at ``CONTROL``, and can write to neither.
"""

from __future__ import annotations

import os
import queue
import secrets
import shlex
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from stepbridge_local.protocols import Container, ContainerExit
from stepbridge_local.services.codebuild.errors import BuildError

__all__ = ["CONTROL", "BuildShell", "SandboxError", "ShellStoppedError"]

CONTROL: Final = "/run/stepbridge"
LOOK_SECONDS: Final = 0.2  # to wait for the end of a sandbox that does not respond
ENDING_SECONDS: Final = 10.0

# Starts the shell, and a new one if a command has ended it. Messages of a shell about the end of the previous one are
# not output of the build.
_KEEPER: Final = """\
exec 3<{control}/queue 0</dev/null 4>&2 2>/dev/null
while :; do
  (exec {shell} -c {driver} 2>&4 4>&-)
  printf '%s %s\\n' {token} "$?"
done
"""

# Reads paths of files with commands, runs each in this very shell, and writes its exit status after its output.
_DRIVER: Final = """\
while IFS= read -r __command <&3; do
  . "$__command"
  printf '%s %s\\n' {token} "$?"
done
"""

Start = Callable[[Sequence[str], Callable[[str], None]], Container]
"""``start(command, on_line)``: the command in the build's sandbox."""


class ShellStoppedError(Exception):
    """The shell was stopped from outside while a command ran."""


class SandboxError(BuildError):
    """The sandbox of a build could not be started, or was killed because of what ran in it."""


class BuildShell:
    """Runs commands one after the other, each line of output to ``on_line``. One thread runs, any thread may stop.

    A command that ends the shell (``exit``, or a failure after ``set -e``) has the shell's exit code; the next command
    gets a new shell, in the first folder again and with the first environment. ``control`` is a folder of this machine
    that the sandbox sees at ``CONTROL``.
    """

    def __init__(self, shell: str, start: Start, control: Path, on_line: Callable[[str], None]) -> None:
        token = f"@{secrets.token_hex(16)}"
        driver = _DRIVER.format(token=token)
        script = _KEEPER.format(control=CONTROL, shell=shell, driver=shlex.quote(driver), token=token)
        self._command = ("/bin/sh", "-c", script)
        self._token = token
        self._start = start
        self._control = control
        self._on_line = on_line
        self._statuses: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._container: Container | None = None
        self._count = 0
        self._lock = threading.Lock()
        self._stopped = False
        os.mkfifo(control / "queue", 0o600)
        # Open for reading and writing, so that neither end waits for the other.
        self._queue = os.open(control / "queue", os.O_RDWR | os.O_CLOEXEC)

    def run(self, command: str) -> int:
        """Run a command and return its exit status.

        Raises ShellStoppedError when ``stop`` was called, SandboxError when there is no sandbox (any more).
        """
        self._count += 1
        name = f"command-{self._count}.sh"
        (self._control / name).write_text(command + "\n", errors="surrogateescape")
        container = self._running()
        os.write(self._queue, f"{CONTROL}/{name}\n".encode())
        while True:
            end = container.wait(0)
            try:
                return self._statuses.get(timeout=LOOK_SECONDS if end is None else 0)
            except queue.Empty:
                if end is not None:
                    raise self._failure(end) from None

    def variable(self, name: str) -> str | None:
        """The value that a variable has in the shell now; None when it is not set."""
        lines: list[str] = []
        log, self._on_line = self._on_line, lines.append
        try:
            status = self.run(f'[ -n "${{{name}+x}}" ] && printf "%s\\n" "${name}"')
        finally:
            self._on_line = log
        return "\n".join(lines) if status == 0 else None

    def stop(self) -> None:
        """Kill the running command. Later calls of ``run`` raise ShellStoppedError. Idempotent."""
        with self._lock:
            self._stopped = True
            container = self._container
        if container is not None:
            container.stop(0)

    def close(self) -> None:
        """End the shell and all background processes of its commands."""
        self.stop()
        if self._container is not None:
            self._container.wait(ENDING_SECONDS)
        os.close(self._queue)

    def _running(self) -> Container:
        with self._lock:
            if self._stopped:
                raise ShellStoppedError
            if self._container is None:
                self._container = self._start(self._command, self._take_line)
            return self._container

    def _take_line(self, line: str) -> None:
        text, found, status = line.partition(self._token)
        if text or not found:
            self._on_line(text)
        if found:
            self._statuses.put(int(status))

    def _failure(self, end: ContainerExit) -> Exception:
        with self._lock:
            self._container = None  # what comes after gets a new one
            if self._stopped:
                return ShellStoppedError()
        return SandboxError("the build's sandbox", end.error or f"it ended by itself, with exit code {end.exit_code}")
