"""A container on a Docker engine: its output, how it ends, how it is stopped."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath

from docker.errors import NotFound
from docker.models.containers import Container as EngineContainer

from stepbridge_local.protocols import ContainerExit
from stepbridge_local.runtimes.docker.engine_errors import ENGINE_ERRORS, explain, tried

__all__ = ["DockerContainer"]

_log = logging.getLogger(__name__)
_SETTLING_SECONDS = 3.0  # by then an init process has started its command
_POLL_SECONDS = 0.02
_KILL_SECONDS = 1.0  # between two attempts
_MOST_KILLS = 30
# For so long an engine may say nothing of a container that it started; one that is started again needs some seconds.
_SILENCE_SECONDS = 60.0
_LOOK_SECONDS = 0.2
_KILLED = ContainerExit(137)
# What the engine's init process prints if the command does not exist: https://github.com/krallin/tini
_NOT_EXECUTED_CODES = (126, 127)
_INIT_FAILED = "[FATAL tini ("
_ADDED = 1  # https://docs.docker.com/reference/api/engine/ "Get changes on a container's filesystem"
_MOST_NAMES = 10
_LONGEST_LINE_BYTES = 256 * 1024  # CloudWatch Logs accepts no longer event


class DockerContainer:
    """Implements ``Container``. Removes the engine's container when it has ended and its output was passed on."""

    def __init__(
        self,
        container: EngineContainer,
        on_line: Callable[[str], None],
        on_exit: Callable[[], None],
        on_end: Callable[[], None],
    ) -> None:
        """``on_exit`` is called when its processes have ended, before ``wait`` returns; ``on_end`` is called last."""
        self._container = container
        self._on_line = on_line
        self._on_exit = on_exit
        self._on_end = on_end
        self._exit: ContainerExit | None = None
        self._settled_at = 0.0
        self._started = threading.Event()  # also set if the start failed, because there is nothing to wait for
        self._ended = threading.Event()

    def start(self) -> None:
        """Start it and follow it on a thread of its own."""
        threading.Thread(target=self._follow, name=f"container-{self._container.name}", daemon=True).start()

    def wait(self, timeout_seconds: float | None = None) -> ContainerExit | None:
        """How it ended, or None if the timeout passes first."""
        self._ended.wait(timeout_seconds)
        return self._exit

    def stop(self, grace_seconds: float) -> None:
        """SIGTERM now, SIGKILL after the grace period. Returns at once."""
        threading.Thread(target=self._stop, args=(grace_seconds,), daemon=True).start()

    def _stop(self, grace_seconds: float) -> None:
        self._started.wait()
        if grace_seconds > 0:
            self._await_command()
            self._kill("SIGTERM")
            self._ended.wait(grace_seconds)
        for _ in range(_MOST_KILLS):
            if self._ended.is_set():
                break
            self._kill("SIGKILL")
            self._ended.wait(_KILL_SECONDS)

    def _await_command(self) -> None:
        """Return once the engine's init process has started the command: before that it may lose a signal."""
        while not self._ended.is_set() and time.monotonic() < self._settled_at:
            try:
                if len(self._container.top()["Processes"]) > 1:
                    return
            except ENGINE_ERRORS:
                return  # the container is gone, or the engine cannot list processes: send the signal anyway
            self._ended.wait(_POLL_SECONDS)

    def _kill(self, signal: str) -> None:
        tried(f"{signal} to {self._container.name}", lambda: self._container.kill(signal))

    def _remove(self) -> None:
        tried(f"removing {self._container.name}", lambda: self._container.remove(force=True))

    def _follow(self) -> None:
        try:
            self._exit = self._run()
        finally:
            self._started.set()
            self._exit = self._exit or ContainerExit(None, "the Docker engine lost the container")
            self._ended.set()
            self._on_end()

    def _run(self) -> ContainerExit:
        try:
            # Attach before the start, so that no line is missed.
            stream = self._container.attach(stdout=True, stderr=True, stream=True, logs=True, demux=True)
            self._container.start()
        except ENGINE_ERRORS as error:
            self._remove()
            return ContainerExit(None, f"the container did not start: {explain(error)}")
        self._settled_at = time.monotonic() + _SETTLING_SECONDS
        self._started.set()
        # Waited for from now on: who asks only after the end may find that somebody else has removed it.
        outcome: list[ContainerExit] = []
        waiter = threading.Thread(target=lambda: outcome.append(self._await_end()), daemon=True)
        waiter.start()
        last_line = self._hand_on(stream)
        waiter.join()
        folder, left = self._left_behind()
        self._remove()
        tried(f"taking over what {self._container.name} wrote", self._on_exit)
        code = outcome[0].exit_code
        if code in _NOT_EXECUTED_CODES and last_line.startswith(_INIT_FAILED):
            return ContainerExit(None, f"the container did not start: {last_line.partition('] ')[2]}")
        return ContainerExit(code, outcome[0].error, folder, left)

    def _hand_on(self, stream: Iterator[tuple[bytes | None, bytes | None]]) -> str:
        """The last line; each of them went to ``on_line``, until the end or until the engine broke off."""
        last_line = ""
        try:
            for line in _lines(stream):
                self._on_line(line)
                last_line = line
        except ENGINE_ERRORS as error:
            _log.warning("%s: its output broke off: %s", self._container.name, error)
        return last_line

    def _await_end(self) -> ContainerExit:
        """How it ended; an engine that breaks off, or is started again, is asked again."""
        while True:
            try:
                return ContainerExit(self._container.wait()["StatusCode"])
            except ENGINE_ERRORS:
                if found := self._look():
                    return found
                time.sleep(_LOOK_SECONDS)

    def _look(self) -> ContainerExit | None:
        """How it ended by the engine's record; None while it runs."""
        give_up_at = time.monotonic() + _SILENCE_SECONDS
        while True:
            try:
                self._container.reload()
                state = self._container.attrs["State"]
                return None if state["Running"] else ContainerExit(state["ExitCode"])
            except NotFound:
                return _KILLED  # removed from outside while it ran
            except ENGINE_ERRORS as error:
                if time.monotonic() > give_up_at:
                    return ContainerExit(None, f"the Docker engine lost the container: {explain(error)}")
                time.sleep(_LOOK_SECONDS)

    def _left_behind(self) -> tuple[str, list[str]]:
        """The working folder and the names of new files in it, if the engine still has the container."""
        folder = self._container.attrs["Config"].get("WorkingDir") or "/"
        try:
            changes = self._container.diff() or ()
        except ENGINE_ERRORS:
            return folder, []
        added = [PurePosixPath(entry["Path"]) for entry in changes if entry["Kind"] == _ADDED]
        names = [path.name for path in added if str(path.parent) == folder and str(path) != "/opt"]
        return folder, sorted(names)[:_MOST_NAMES]


def _lines(chunks: Iterator[tuple[bytes | None, bytes | None]]) -> Iterator[str]:
    """The lines of both output streams, each line of one of them, decoded with replacement; the last with or without
    its end. A chunk is of the one or of the other."""
    rests = [b"", b""]
    for pair in chunks:
        for number, chunk in enumerate(pair):
            whole, rests[number] = _split(rests[number] + (chunk or b""))
            for line in whole:
                yield line.removesuffix(b"\r").decode("utf-8", "replace")
    yield from (rest.decode("utf-8", "replace") for rest in rests if rest)


def _split(text: bytes) -> tuple[list[bytes], bytes]:
    """The complete lines (and pieces of lines that are too long), and the rest."""
    *whole, rest = text.split(b"\n")
    while len(rest) > _LONGEST_LINE_BYTES:
        whole.append(rest[:_LONGEST_LINE_BYTES])
        rest = rest[_LONGEST_LINE_BYTES:]
    return whole, rest
