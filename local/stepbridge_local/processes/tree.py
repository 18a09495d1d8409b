"""Child processes that never outlive the program that started them. Linux only.

Airflow's components fork workers, workers fork tasks, and some of them move into sessions of their own; ending only the
direct children would leave those running. So the program becomes a child subreaper (``prctl(2)``): orphaned descendants
become its children, and ``ProcessTree.stop`` ends descendants until none is left. If the program itself is killed, each
direct child gets SIGTERM from the kernel (PR_SET_PDEATHSIG), and a guard, its parent, ends the rest.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn, Self, TypeVar

from stepbridge_local.errors import LocalAwsError
from stepbridge_local.persistence.disk import has_room, is_full

__all__ = ["MOST_RESTARTS", "Child", "ChildEndedError", "ProcessTree", "is_running", "kill_tree"]

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
MOST_RESTARTS = 5
RESTARTS_SECONDS = 600.0  # MOST_RESTARTS applies to this time
_END_SECONDS = 10.0


Found = TypeVar("Found")


class ChildEndedError(LocalAwsError):
    """A child process ended although it should have kept running."""


def is_running(pid: int) -> bool:
    """Whether the process is running. A zombie is not."""
    return _stat_fields(pid) is not None


def _stat_fields(pid: int) -> list[str] | None:
    """``/proc/<pid>/stat`` from the field after the command name on; None when the process is gone or a zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] == "Z" else fields


def _descendants(root: int, but_below: frozenset[int] = frozenset()) -> list[int]:
    """All living processes below ``root``, leaving out those in ``but_below`` and what is below them."""
    children: dict[int, list[int]] = {}
    for pid in (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()):
        if fields := _stat_fields(pid):
            children.setdefault(int(fields[1]), []).append(pid)
    found: list[int] = []
    queue = [root]
    while queue:
        below = [pid for pid in children.get(queue.pop(), []) if pid not in but_below]
        found.extend(below)
        queue.extend(below)
    return found


@dataclass
class Child:
    """A started program and the file that takes what it prints."""

    name: str
    log_file: Path
    spawn: Callable[[], subprocess.Popen[bytes]]
    end_signal: signal.Signals
    distrusted: bool
    process: subprocess.Popen[bytes] = field(init=False)
    restarts: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.process = self.spawn()

    def check(self) -> None:
        """Raise ChildEndedError, with the end of its output, if it no longer runs."""
        code = self.process.poll()
        if code is None:
            return
        tail = self.log_file.read_text(errors="replace").splitlines()[-15:] or ["(it printed nothing)"]
        found = "\n  ".join([f"ended with exit code {code}; its last lines:", *tail])
        raise ChildEndedError(self.name, found, "", f"\nthe whole output is in {self.log_file}")

    def restart(self) -> str:
        """Start it again and return a message. Raises ChildEndedError after MOST_RESTARTS within RESTARTS_SECONDS."""
        now, code = time.monotonic(), self.process.returncode
        self.restarts = [moment for moment in self.restarts if now - moment < RESTARTS_SECONDS] + [now]
        if len(self.restarts) > MOST_RESTARTS:
            self.check()
        self.process = self.spawn()
        count = f"{len(self.restarts)} of at most {MOST_RESTARTS} times in {RESTARTS_SECONDS / 60:.0f} minutes"
        return f"{self.name} ended with exit code {code}; started again ({count}); see {self.log_file}"


class ProcessTree:
    """Starts programs and, on leaving the ``with`` block, ends them and all that they started.

    Must be entered in the main thread: the death signal of a child is tied to the thread that started it. Children
    that this program had before are left alone.
    """

    def __init__(self, log_folder: Path, guarded: bool = False) -> None:
        """``guarded``: the block runs in a new process, whose parent, ``pid``, ends what a killed one leaves behind."""
        self._log_folder = log_folder
        self._guarded = guarded
        self.pid = os.getpid()
        self.after_restart: dict[str, Callable[[], object]] = {}
        """By a child's name: what has to be done once it was started again."""
        self._children: list[Child] = []
        self._not_ours: frozenset[int] = frozenset()
        self._waiting: set[str] = set()
        """Names of children that are restarted when the disk has room."""
        self._was_full = False

    def __enter__(self) -> Self:
        self._log_folder.mkdir(parents=True, exist_ok=True)
        if self._guarded and (program := os.fork()):
            _guard(program)
        if self._guarded:
            os.setpgid(0, 0)  # a Ctrl-C reaches the guard, which passes it on once
            _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        self._not_ours = frozenset(_descendants(os.getpid()))
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        folder: Path,
        *,
        before: Callable[[], None] | None = None,
        end_signal: signal.Signals = signal.SIGTERM,
        distrusted: bool = False,
    ) -> Child:
        """Start ``command`` in a session of its own, so that a Ctrl-C at the terminal reaches only this program.

        ``before`` is called in the new process; ``end_signal`` is what ends it in good order. ``distrusted``: it may
        hang for ever once it could not write to a disk, so it is restarted after one was full.
        """
        log_file = self._log_folder / f"{name}.log"
        log_file.unlink(missing_ok=True)

        def prepare() -> None:
            if before:
                before()
            _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)  # last, because a new user namespace resets it

        def spawn() -> subprocess.Popen[bytes]:
            with log_file.open("ab") as log:
                return subprocess.Popen(
                    list(command),
                    cwd=folder,
                    env=dict(environment),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    preexec_fn=prepare,
                )

        child = Child(name, log_file, spawn, end_signal, distrusted)
        self._children.append(child)
        return child

    def check(self) -> None:
        """Raise ChildEndedError if any of the children ended."""
        for child in self._children:
            child.check()

    def result(self, future: Future[Found]) -> Found:
        """The future's result. Raises ChildEndedError if any of the children ends before."""
        while not future.done():
            self.check()
            time.sleep(0.1)
        return future.result()

    def revive(self, say: Callable[[str], None]) -> None:
        """Restart children that have ended, and say so. Raises ChildEndedError if that does not help.

        While the disk of the logs is full nothing is restarted: it would only end again. Processes that a child left
        behind are ended first: a scheduler's orphans would wait for tasks for ever.
        """
        self._end_what_a_full_disk_broke(say)
        for child in self._children:
            if child.process.poll() is not None and self._may_restart(child, say):
                _kill_below(self._not_ours | {each.process.pid for each in self._children})
                say(child.restart())
                self.after_restart.get(child.name, lambda: None)()

    def _end_what_a_full_disk_broke(self, say: Callable[[str], None]) -> None:
        """Once there is room again: what wrote to the disk while it was full may hang, and is restarted then."""
        if is_full(self._log_folder):
            if not self._was_full:
                say(f"The disk of {self._log_folder} is full: make room on it; what is stored there is sound")
            self._was_full = True
        elif self._was_full and has_room(self._log_folder):
            self._was_full = False
            broken = [child for child in self._children if child.distrusted]
            say(f"The disk of {self._log_folder} was full: restarting {', '.join(child.name for child in broken)}")
            _end(broken, time.monotonic() + _END_SECONDS)
            for child in broken:
                child.restarts.clear()
                with contextlib.suppress(ProcessLookupError):
                    child.process.kill()
                child.process.wait()

    def _may_restart(self, child: Child, say: Callable[[str], None]) -> bool:
        if has_room(self._log_folder):
            self._waiting.discard(child.name)
            return True
        if child.name not in self._waiting:
            self._waiting.add(child.name)
            say(
                f"{child.name} ended; the disk of {self._log_folder} is full, so it is started again when there is room"
            )
        return False

    def run(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        folder: Path,
        before: Callable[[], None] | None = None,
    ) -> None:
        """Run a program until it ends. Raises ChildEndedError unless its exit code is 0."""
        child = self.start(name, command, environment, folder, before=before)
        self._children.remove(child)
        while child.process.poll() is None:
            self.check()
            time.sleep(0.05)
        if child.process.returncode:
            child.check()

    def discard(self, child: Child) -> None:
        """End a child that is not needed."""
        self._children.remove(child)
        child.process.kill()
        child.process.wait()

    def stop(self, grace_seconds: float = 5.0) -> None:
        """End the children in reverse order of their start, the first when no other is left, then kill the rest."""
        deadline = time.monotonic() + grace_seconds
        for group in (self._children[:0:-1], self._children[:1]):
            _end(group, deadline)
            deadline = max(deadline, time.monotonic() + 2.0)
        _kill_below(self._not_ours)
        for child in self._children:
            child.process.poll()  # never wait(): where an exception interrupted a poll, its lock stays taken for ever
        self._children.clear()


def _end(children: Sequence[Child], deadline: float) -> None:
    """Ask the children to end, and wait for it until the deadline."""
    for child in children:
        if child.process.poll() is None:
            child.process.send_signal(child.end_signal)
    while time.monotonic() < deadline and any(child.process.poll() is None for child in children):
        time.sleep(0.05)


def _guard(program: int) -> NoReturn:
    """Wait for ``program``, a child that may have been killed, end what it left, and end as it did."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: os.kill(program, number))
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    code = os.waitstatus_to_exitcode(os.waitpid(program, 0)[1])
    deadline = time.monotonic() + 5.0
    while time.monotonic() < deadline and _descendants(os.getpid()):
        time.sleep(0.05)
    _kill_below()
    os._exit(code if code >= 0 else 128 - code)


def kill_tree(root: int, timeout_seconds: float) -> list[str]:
    """SIGKILL all processes below ``root``, then ``root``. Returns those left at the timeout, as ``1234 (state D)``.

    The states are those of ``proc(5)``: D is a process that waits for a disk and cannot be killed before it answers.
    """
    deadline = time.monotonic() + timeout_seconds
    while (left := _descendants(root)) and time.monotonic() < deadline:
        _kill(left)
        time.sleep(0.05)
    _kill([root])
    return [f"{pid} (state {fields[0]})" for pid in left if (fields := _stat_fields(pid))]


def _kill_below(but_below: frozenset[int] = frozenset()) -> None:
    """SIGKILL all processes below this program until none is left."""
    while left := _descendants(os.getpid(), but_below):
        _kill(left)
        time.sleep(0.05)


def _kill(pids: Iterable[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _prctl(option: int, value: int) -> None:
    ctypes.CDLL(None).prctl(option, value, 0, 0, 0)
