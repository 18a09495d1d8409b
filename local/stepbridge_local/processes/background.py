"""A program that one process at a time keeps running in the background, under a lock on a file."""

from __future__ import annotations

import faulthandler
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import IO, TypeVar

from stepbridge_local.errors import LocalAwsError
from stepbridge_local.processes.tree import kill_tree

__all__ = [
    "BackgroundError",
    "free_port",
    "in_background",
    "lock_file",
    "lock_owner",
    "start_in_background",
    "stop_in_background",
    "unwind_on_end_signals",
]

_END_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_STOP_SECONDS = 40.0

Found = TypeVar("Found")


class BackgroundError(LocalAwsError):
    """A program in the background ended before it was ready, or does not end."""


def lock_file(file: Path) -> IO[str]:
    """Reserve the file for this process, and those it forks, until they close the result or end.

    Raises BlockingIOError if another process has it.
    """
    import fcntl  # not on Windows

    file.parent.mkdir(parents=True, exist_ok=True)
    lock = os.fdopen(os.open(file, os.O_RDWR | os.O_CREAT, 0o644), "r+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise
    try:
        os.pwrite(lock.fileno(), b"%-10d" % os.getpid(), 0)  # as long as any other: at no moment is it half of one
    except OSError as error:
        lock.close()
        error.filename = str(file)
        raise
    return lock


def lock_owner(file: Path) -> int | None:
    """The id of the process that has locked the file, or None."""
    import fcntl

    try:
        with file.open() as lock:
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    if owner := lock.read():  # otherwise it was locked for the first time just now
                        return int(owner)
                    time.sleep(0.01)
                else:
                    return None
    except FileNotFoundError:
        pass
    return None


def free_port(wanted: int, say: Callable[[str], None]) -> int:
    """``wanted`` if it is free on the loopback address, else another port, with a line about it."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError:
            probe.bind(("127.0.0.1", 0))
            say(f"Port {wanted} is taken; using {probe.getsockname()[1]} instead")
        port: int = probe.getsockname()[1]
        return port


def in_background(function: Callable[[], Found]) -> Future[Found]:
    """The function's result to come. Its thread does not keep this program from ending."""
    future: Future[Found] = Future()

    def run() -> None:
        try:
            future.set_result(function())
        except BaseException as error:  # noqa: BLE001  raised by result()
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


def start_in_background(
    name: str,
    command: Sequence[str],
    folder: Path,
    log_file: Path,
    say: Callable[[str], None],
    ready: Callable[[], Found | None],
) -> Found:
    """What ``ready`` returns as soon as that is not None; until then ``say`` gets each line that the program prints.

    Raises BackgroundError, which names it by ``name``, when it ends first. Whatever is raised meanwhile ends it.
    """
    with log_file.open("wb") as log:
        keeper = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        with log_file.open(encoding="utf-8", errors="replace") as lines:
            while True:
                found = ready()
                for line in lines:
                    say(line.rstrip())
                if found is not None:
                    return found
                if keeper.poll() is not None:
                    text = f"did not come up (exit code {keeper.returncode})"
                    raise BackgroundError(name, text, "", f"see {log_file}")
                time.sleep(0.1)
    except BaseException:
        keeper.terminate()
        keeper.wait()
        raise


def stop_in_background(lock: Path, log_file: Path, say: Callable[[str], None]) -> bool:
    """End the program that has locked the file, with all that it started; False when there is none.

    Raises BackgroundError for what not even SIGKILL ends.
    """
    pid = lock_owner(lock)
    if pid is None:
        return False
    os.kill(pid, signal.SIGTERM)
    if not _is_free_within(lock, _STOP_SECONDS):
        say(f"It still runs {_STOP_SECONDS:.0f} s after SIGTERM and is killed; see {log_file}")
        left = kill_tree(pid, _STOP_SECONDS)
        if not _is_free_within(lock, 1.0):
            found = f"still runs after SIGKILL, and so do {left}"
            raise BackgroundError(f"process {pid}", found, "", "state D waits for a disk: run the same command later")
    return True


def _is_free_within(lock: Path, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while (owner := lock_owner(lock)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return owner is None


def unwind_on_end_signals() -> None:
    """SIGTERM and SIGINT raise KeyboardInterrupt, once: a second one must not cut the clean-up short."""
    for number in _END_SIGNALS:
        signal.signal(number, _interrupt)


def _interrupt(*_: object) -> None:
    for number in _END_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    faulthandler.dump_traceback_later(_STOP_SECONDS / 2)  # into the log: where a clean-up that hangs does so
    raise KeyboardInterrupt
