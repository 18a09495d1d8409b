"""Room on a disk: what needs it is refused, or waits, before it breaks in the middle."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from stepbridge_local.errors import LocalAwsError

__all__ = ["FULL_BYTES", "DiskFullError", "has_room", "is_full", "requiring_room"]

_MIB: Final = 1024 * 1024
RESERVED_BYTES: Final = 32 * _MIB  # PostgreSQL writes ahead in files of 16 MiB
FULL_BYTES: Final = _MIB


class DiskFullError(LocalAwsError):
    """A disk has no room for what has to be written."""


def has_room(folder: Path) -> bool:
    """Whether programs that write below the folder, or will when it is made, can go on doing so."""
    return _free_bytes(folder) >= RESERVED_BYTES


def is_full(folder: Path) -> bool:
    """Whether programs that write below the folder have probably failed to."""
    return _free_bytes(folder) < FULL_BYTES


@contextmanager
def requiring_room(folder: Path, least_bytes: int | None = None) -> Iterator[None]:
    """Raises DiskFullError instead of entering the block, or of what it raises, while the folder's disk is full.

    ``least_bytes`` is what has to be free on it, by default RESERVED_BYTES.
    """
    _require_room(folder, least_bytes)
    try:
        yield
    except Exception as error:
        _require_room(folder, least_bytes, error)
        raise


def _require_room(folder: Path, least_bytes: int | None, cause: Exception | None = None) -> None:
    least_bytes, free = RESERVED_BYTES if least_bytes is None else least_bytes, _free_bytes(folder)
    if free < least_bytes:
        found = f"{free / _MIB:.1f} MB are free on its disk"
        remedy = "make room on that disk, then run it again; what is stored there is sound"
        raise DiskFullError(str(folder), found, f"at least {least_bytes / _MIB:.0f} MB", remedy) from cause


def _free_bytes(folder: Path) -> int:
    there = next(each for each in (folder, *folder.parents) if each.exists())
    return shutil.disk_usage(there).free
