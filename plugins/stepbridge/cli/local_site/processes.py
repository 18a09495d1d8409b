"""Child processes that never outlive the program that started them. Linux only.

Airflow's components fork workers, workers fork tasks, and some of them move into sessions of their own; ending only the
direct children would leave those running. So the program becomes a child subreaper (``prctl(2)``): whatever is orphaned
below it becomes its child, and ``ProcessTree.stop`` ends descendants until none is left. Should the program itself be
killed, each direct child gets SIGTERM from the kernel (PR_SET_PDEATHSIG).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from stepbridge.errors import StepbridgeError

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


class ChildEndedError(StepbridgeError):
    """A child process ended although it should have kept running."""


def process_start_ticks(pid: int) -> int | None:
    """When the process started, in clock ticks since boot; None if there is no such process (``proc(5)``, field 22)."""
    fields = _stat_fields(pid)
    return int(fields[19]) if fields else None


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


@dataclass(frozen=True)
class Child:
    """A started program and the file that takes what it prints."""

    name: str
    process: subprocess.Popen[bytes]
    log_file: Path

    def check(self) -> None:
        """Raise ChildEndedError, with the end of its output, if it no longer runs."""
        code = self.process.poll()
        if code is None:
            return
        tail = self.log_file.read_text(errors="replace").splitlines()[-15:] or ["(it printed nothing)"]
        found = "\n  ".join([f"ended with exit code {code}; its last lines:", *tail])
        raise ChildEndedError(self.name, found, "", f"\nthe whole output is in {self.log_file}")


class ProcessTree:
    """Starts programs and, on leaving the ``with`` block, ends them and all that they started.

    Must be entered in the main thread: the death signal of a child is tied to the thread that started it. Children
    that this program had before are left alone.
    """

    def __init__(self, log_folder: Path) -> None:
        self._log_folder = log_folder
        self._children: list[Child] = []
        self._not_ours: frozenset[int] = frozenset()

    def __enter__(self) -> Self:
        self._log_folder.mkdir(parents=True, exist_ok=True)
        self._not_ours = frozenset(_descendants(os.getpid()))
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, name: str, command: Sequence[str], environment: Mapping[str, str], folder: Path) -> Child:
        """Start ``command`` in a session of its own, so that a Ctrl-C at the terminal reaches only this program."""
        log_file = self._log_folder / f"{name}.log"
        with log_file.open("wb") as log:
            process = subprocess.Popen(
                list(command),
                cwd=folder,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )
        child = Child(name, process, log_file)
        self._children.append(child)
        return child

    def check(self) -> None:
        """Raise ChildEndedError if any of the children ended."""
        for child in self._children:
            child.check()

    def run(self, name: str, command: Sequence[str], environment: Mapping[str, str], folder: Path) -> None:
        """Start a program and wait for its end. Raises ChildEndedError unless its exit code is 0."""
        child = self.start(name, command, environment, folder)
        self._children.remove(child)
        while child.process.poll() is None:
            self.check()
            time.sleep(0.05)
        if child.process.returncode:
            child.check()

    def stop(self, grace_seconds: float = 5.0) -> None:
        """SIGTERM the children in reverse order of their start, then SIGKILL whatever is left of the tree."""
        for child in reversed(self._children):
            if child.process.poll() is None:
                child.process.terminate()
        deadline = time.monotonic() + grace_seconds
        while time.monotonic() < deadline and any(child.process.poll() is None for child in self._children):
            time.sleep(0.05)
        own = os.getpid()
        while left := _descendants(own, self._not_ours):
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)
        for child in self._children:
            child.process.wait()
        self._children.clear()


def _die_with_parent() -> None:
    _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _prctl(option: int, value: int) -> None:
    ctypes.CDLL(None).prctl(option, value, 0, 0, 0)
