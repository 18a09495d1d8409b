"""A running container: its output line by line, how it ends, and how it is stopped."""

from __future__ import annotations

import contextlib
import marshal
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Final, cast

from stepbridge_local.protocols import ContainerExit
from stepbridge_local.runtimes.process.python_installation import own_python
from stepbridge_local.runtimes.process.sandbox import LaunchSpec
from stepbridge_local.runtimes.process.start_failure import killed_for, start_failure

__all__ = ["MAX_LINE_BYTES", "FailedContainer", "LineSplitter", "ProcessContainer"]

MAX_LINE_BYTES: Final = 256 * 1024  # the largest event of CloudWatch Logs
# The package is imported, not run as a script, for its byte code to be kept; from behind the standard library.
START: Final = "import sys; sys.path.append(sys.argv[1]); from launcher.processes import main; main()"
KILLED: Final = 137
_READ_BYTES: Final = 64 * 1024


class LineSplitter:
    """Splits a stream of bytes into lines of text. A line longer than MAX_LINE_BYTES is passed on in pieces."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, block: bytes) -> Iterator[str]:
        """The lines that ``block`` completes, without their line ends."""
        *complete, rest = block.split(b"\n")
        for line in complete:
            yield from self._cut(self._pending + line, end=True)
            self._pending.clear()
        self._pending += rest
        if len(self._pending) > MAX_LINE_BYTES:
            yield from self._cut(bytes(self._pending), end=False)

    def flush(self) -> Iterator[str]:
        """The last line, when no line end came behind it."""
        if self._pending:
            yield from self._cut(bytes(self._pending), end=True)
            self._pending.clear()

    def _cut(self, line: bytes | bytearray, end: bool) -> Iterator[str]:
        start = 0
        while len(line) - start > MAX_LINE_BYTES:
            stop = start + MAX_LINE_BYTES
            while line[stop] & 0xC0 == 0x80 and stop > start + MAX_LINE_BYTES - 4:  # not within a UTF-8 character
                stop -= 1
            yield line[start:stop].decode("utf-8", "replace")
            start = stop
        if end:
            yield line[start:].removesuffix(b"\r").decode("utf-8", "replace")
        else:
            self._pending[:start] = b""


class FailedContainer:
    """A container that could not be started."""

    def __init__(self, error: str) -> None:
        self._exit = ContainerExit(None, error)

    def wait(self, timeout_seconds: float | None = None) -> ContainerExit:  # noqa: ARG002 - the port's signature
        return self._exit

    def stop(self, grace_seconds: float) -> None:
        """Nothing runs."""


class ProcessContainer:
    """A container whose processes are children of this one. ``on_end`` is called last, after ``wait`` has answered."""

    def __init__(
        self, spec: LaunchSpec, on_line: Callable[[str], None], on_end: Callable[[ProcessContainer], None]
    ) -> None:
        """Start it. Raises OSError when not even the launcher starts."""
        self.spec = spec
        self._on_line = on_line
        self._on_end = on_end
        self._ended = threading.Event()
        self._exit = ContainerExit(None, "it has not ended")
        self._control_lock = threading.Lock()
        self._status, status_end = os.pipe()
        try:
            self._process = self._start(status_end)
        except OSError:
            os.close(self._status)
            raise
        finally:
            os.close(status_end)
        # marshal, which both ends of the pipe read: they are of the same Python, and json takes longer to import.
        content = marshal.dumps({**spec.to_plain(), "status_fd": status_end, "parent_pid": os.getpid()})
        self._send(len(content).to_bytes(8, "big") + content)
        self._thread = threading.Thread(target=self._run, name=f"container-{spec.hostname}", daemon=True)
        self._thread.start()

    def _start(self, status_end: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            # The interpreter itself, not the one of a virtual environment: it starts sooner.
            [own_python().executable, "-I", "-S", "-c", START, str(Path(__file__).parent)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            env={},  # the first process's environment can be read from inside
            cwd="/",
            pass_fds=[status_end],
            start_new_session=True,  # Ctrl-C is for the local AWS to handle, which then stops its containers
        )

    @property
    def process_id(self) -> int:
        """The process outside of the namespaces that watches over it."""
        return self._process.pid

    def wait(self, timeout_seconds: float | None = None) -> ContainerExit | None:
        """How it ended, when all its output has been passed on. None if ``timeout_seconds`` pass first."""
        return self._exit if self._ended.wait(timeout_seconds) else None

    def stop(self, grace_seconds: float) -> None:
        """SIGTERM to its command now, SIGKILL to everything in it after the grace period; 0 kills at once."""
        self._send(f"stop {max(0.0, grace_seconds)}\n".encode())

    def join(self) -> None:
        """Wait until ``on_end`` has returned."""
        self._thread.join()

    def _send(self, content: bytes) -> None:
        control = cast(IO[bytes], self._process.stdin)
        with self._control_lock, contextlib.suppress(BrokenPipeError):  # it has ended: nothing is left to stop
            rest = memoryview(content)
            while rest and not control.closed:
                rest = rest[control.write(rest) :]

    def _run(self) -> None:
        failure = "its output could not be handed on"
        try:
            self._hand_on_output()
            failure = ""
        finally:
            # If on_line raised, the thread's exception hook reports it; the container must not wait for it.
            if failure:
                self.stop(0)
            self._exit = self._conclusion(failure)
            with self._control_lock:
                cast(IO[bytes], self._process.stdin).close()
            self._ended.set()
            self._on_end(self)

    def _hand_on_output(self) -> None:
        output = cast(IO[bytes], self._process.stdout)
        lines = LineSplitter()
        with output:
            while block := os.read(output.fileno(), _READ_BYTES):
                for line in lines.feed(block):
                    self._on_line(line)
            for line in lines.flush():
                self._on_line(line)

    def _conclusion(self, failure: str) -> ContainerExit:
        with os.fdopen(self._status, "rb") as status:
            message = status.read()
        code = self._process.wait()
        if killed := killed_for(message):
            return ContainerExit(KILLED, killed)
        if message and not message.startswith(b"\0"):  # which begins what the command left behind
            return ContainerExit(None, start_failure(message, self.spec))
        if failure:
            return ContainerExit(None, failure)
        left = tuple(os.fsdecode(name) for name in message.split(b"\0") if name)
        return ContainerExit(128 - code if code < 0 else code, None, self.spec.working_folder, left)
