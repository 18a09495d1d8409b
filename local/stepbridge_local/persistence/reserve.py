"""Room on the disk for the records of what is deleted or ends, which have to be written on a full disk too."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

__all__ = ["RESERVED_BYTES", "DiskReserve", "is_disk_full"]

_log = logging.getLogger(__name__)

_T = TypeVar("_T")

RESERVED_BYTES: Final = 8 * 1024 * 1024  # SQLite's log of changes grows to 4 MB before it is emptied


def is_disk_full(error: BaseException) -> bool:
    """Whether the error means that a disk or a quota is full."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return isinstance(error, sqlite3.OperationalError) and "full" in str(error)


class DiskReserve:
    """A file of RESERVED_BYTES, which is given up once a record fits nowhere else. Thread safe.

    Without a ``file`` there is no reserve.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._held = False

    def hold(self) -> None:
        """Take the room, if it was given up and the disk has twice as much."""
        with self._lock:
            if self._file is None or self._held:
                return
            if not self._file.exists() and shutil.disk_usage(self._file.parent).free < 2 * RESERVED_BYTES:
                return
            try:
                descriptor = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
                try:
                    os.posix_fallocate(descriptor, 0, RESERVED_BYTES)
                finally:
                    os.close(descriptor)
            except OSError as error:
                _log.warning("%s: no room is kept for a full disk: %s", self._file, error.strerror)
                self._file.unlink(missing_ok=True)
            else:
                self._held = True

    def write(self, action: Callable[[], _T]) -> _T:
        """``action()``. If the disk is full, once more in the room that was kept. Raises what that raises."""
        try:
            return action()
        except (OSError, sqlite3.Error) as error:
            if not is_disk_full(error) or not self._give_up():
                raise
        return action()

    def _give_up(self) -> bool:
        """Whether there was anything to give up."""
        with self._lock:
            if self._file is None or not self._held:
                return False
            self._held = False
            self._file.unlink(missing_ok=True)
            return True
