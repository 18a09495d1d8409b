"""Folders that belong to one program run, and trees that share files."""

from __future__ import annotations

import fcntl
import itertools
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["SessionFolder", "link_tree", "locked", "remove_tree", "tree_size"]


class SessionFolder:
    """A folder below ``parent`` that belongs to this program while it runs.

    A lock shows others that it is in use. Folders of programs that have ended or were killed are removed here.
    """

    def __init__(self, parent: Path) -> None:
        with locked(parent / "sessions.lock"):  # so that no other program finds a new folder before it is locked
            for other in parent.glob("session-*"):
                _remove_if_left_behind(other)
            self.path = Path(tempfile.mkdtemp(prefix="session-", dir=parent))
            self._lock = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(self._lock, fcntl.LOCK_EX)
        self._numbers = itertools.count()

    def new(self, name: str) -> Path:
        """A new, empty folder with a name like ``name``."""
        path = self.path / f"{next(self._numbers)}-{name}"
        path.mkdir(mode=0o700)
        return path

    def close(self) -> None:
        """Remove the folder and all in it. Idempotent."""
        if self._lock >= 0:
            remove_tree(self.path)
            os.close(self._lock)
            self._lock = -1


def _remove_if_left_behind(folder: Path) -> None:
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:  # its program has just removed it
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        remove_tree(folder)
    except BlockingIOError:
        return  # in use
    finally:
        os.close(descriptor)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file ``path``, against threads of this program and against other programs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def remove_tree(path: Path) -> None:
    """Remove a folder, even if it contains folders without permissions, as the kernel's overlay leaves them."""

    def allow(function: Callable[..., Any], name: str, failure: Any) -> None:
        if not issubclass(failure[0], PermissionError):
            raise failure[1]
        Path(name).parent.chmod(0o700)
        if Path(name).is_dir():
            Path(name).chmod(0o700)
            if function is not os.rmdir:
                remove_tree(Path(name))
                return
        function(name)

    if path.exists():
        shutil.rmtree(path, onerror=allow)


def link_tree(source: Path, target: Path) -> None:
    """Make ``target`` a copy of the tree, with hard links instead of copies of files."""
    target.mkdir(parents=True, exist_ok=True)
    for entry in os.scandir(source):
        path = target / entry.name
        if entry.is_symlink():
            path.symlink_to(os.readlink(entry.path))  # noqa: PTH115
        elif entry.is_dir():
            link_tree(Path(entry.path), path)
        else:
            os.link(entry.path, path)
    target.chmod(stat.S_IMODE(source.stat().st_mode))


def tree_size(folder: Path) -> int:
    """The bytes of all files below ``folder``."""
    sizes = (Path(parent, name).lstat().st_size for parent, _, names in os.walk(folder) for name in names)
    return sum(sizes)
