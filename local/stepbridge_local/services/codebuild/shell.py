"""One shell for all commands of a build, as version 0.2 of buildspecs has it: variables and folder carry over."""

from __future__ import annotations

import contextlib
import os
import secrets
import shlex
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

__all__ = ["BuildShell", "ShellStoppedError"]

KILL_AFTER_SECONDS: Final = 2.0

# Reads paths of files with commands, runs each in this very shell, and writes its exit status after its output.
_DRIVER: Final = """\
exec 3<&0 0</dev/null
while IFS= read -r __command <&3; do
  . "$__command"
  printf '%s %s\\n' {token} "$?"
done
"""

# Waits for the end of its input, which comes when the local AWS is gone, however that happened; then kills the group.
_GUARD: Final = 'read -r _; kill -s KILL -- "-$1"'


class ShellStoppedError(Exception):
    """The shell was stopped from outside while a command ran."""


class BuildShell:
    """Runs commands one after the other, each line of output to ``on_line``. One thread runs, any thread may stop.

    A command that ends the shell (``exit``, or a failure after ``set -e``) has the shell's exit code; the next command
    gets a new shell, in ``folder`` again and with the first environment.
    """

    def __init__(
        self, shell: str, folder: Path, environment: Mapping[str, str], scratch: Path, on_line: Callable[[str], None]
    ) -> None:
        self._shell = shell
        self._folder = folder
        self._environment = dict(environment)
        self._scratch = scratch
        self._on_line = on_line
        self._token = f"@{secrets.token_hex(16)}"
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self._count = 0
        self._lock = threading.Lock()
        self._stopped = False

    def run(self, command: str) -> int:
        """Run a command and return its exit status. Raises ShellStoppedError when ``stop`` was called."""
        self._count += 1
        file = self._scratch / f"command-{self._count}.sh"
        file.write_text(command + "\n")
        process = self._running_shell()
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # the shell ended just now; its exit status is read below
            process.stdin.write(f"{file}\n".encode())
            process.stdin.flush()
        status = self._read_until_status(process)
        if self._stopped:
            raise ShellStoppedError
        return status

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
        """Kill what runs. Later calls of ``run`` raise ShellStoppedError. Idempotent."""
        with self._lock:
            self._stopped = True
            process = self._process
        if process is None:
            return
        _signal_group(process, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(KILL_AFTER_SECONDS)
        _signal_group(process, signal.SIGKILL)  # what the shell left behind too

    def close(self) -> None:
        """End the shell, and what its commands left running."""
        process = self._end_input()
        if process is None:
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(KILL_AFTER_SECONDS)
        _bury(process)

    def _running_shell(self) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._stopped:
                raise ShellStoppedError
            if self._process is not None and self._process.poll() is None:
                return self._process
            self._process = subprocess.Popen(
                [self._shell, "-c", _DRIVER.format(token=shlex.quote(self._token))],
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            self._guard = subprocess.Popen(
                ["/bin/sh", "-c", _GUARD, "guard", str(self._process.pid)],
                env={},
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            return self._process

    def _read_until_status(self, process: subprocess.Popen[bytes]) -> int:
        assert process.stdout is not None
        marker = self._token.encode()
        for line in process.stdout:
            text, found, status = line.partition(marker)
            if text.strip(b"\n") or not found:
                self._on_line(text.decode(errors="replace").rstrip("\r\n"))
            if found:
                return int(status)
        self._end_input()
        return _as_shells_count(_bury(process))

    def _end_input(self) -> subprocess.Popen[bytes] | None:
        with self._lock:
            process, self._process = self._process, None
            guard, self._guard = self._guard, None
        if guard is not None and guard.stdin is not None:
            guard.kill()
            guard.wait()
            guard.stdin.close()
        if process is not None and process.stdin is not None:
            process.stdin.close()
        return process


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _bury(process: subprocess.Popen[bytes]) -> int:
    """Kill what is left of a shell and return its exit status."""
    _signal_group(process, signal.SIGKILL)
    status = process.wait()
    if process.stdout is not None:
        process.stdout.close()
    return status


def _as_shells_count(return_code: int) -> int:
    """A death by signal is 128 + its number, as a shell reports it."""
    return 128 - return_code if return_code < 0 else return_code
