"""Reads a data folder without asking its local AWS: which process uses it, and what is in it."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from stepbridge_local.errors import ConfigurationError
from stepbridge_local.persistence.data_folder import DataFolder

__all__ = ["Contents", "Holder", "contents_of", "holder_of", "reset"]

_LOCK: Final = "lock"
_JOBS: Final = Path("jobs") / "jobs.sqlite"
_EXECUTIONS: Final = Path("executions") / "executions.sqlite"


@dataclass(frozen=True)
class Holder:
    """The process that uses a data folder. ``since`` is in seconds since the epoch."""

    url: str
    pid: int
    since: float

    @property
    def uptime_seconds(self) -> float:
        return max(0.0, time.time() - self.since)


@dataclass(frozen=True)
class Contents:
    """What a data folder holds, of all accounts and regions. ``bytes_by_folder`` is the disk that each part takes."""

    running_jobs: int
    queued_jobs: int
    jobs_by_status: Mapping[str, int]
    executions_by_status: Mapping[str, int]
    bytes_by_folder: Mapping[str, int]

    @property
    def bytes_total(self) -> int:
        return sum(self.bytes_by_folder.values())


def holder_of(data_dir: Path) -> Holder | None:
    """The process that uses the folder; None if there is none, even if a killed process left files behind."""
    folder = DataFolder(data_dir)
    try:
        lock = os.open(data_dir / _LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _announced(folder.endpoint_file)
    finally:
        os.close(lock)
    return None


def _announced(endpoint_file: Path) -> Holder | None:
    """None for the short time after the folder is locked and before the server answers."""
    try:
        announced = json.loads(endpoint_file.read_text())
        return Holder(announced["url"], announced["pid"], endpoint_file.stat().st_mtime)
    except FileNotFoundError:
        return None


def contents_of(data_dir: Path) -> Contents:
    """What the folder holds now. Reads only, so the local AWS may run."""
    counts = _rows(
        data_dir / _JOBS,
        "SELECT status, json_extract(record, '$.start_time') IS NULL AND status = 'InProgress', count(*) "
        "FROM jobs GROUP BY 1, 2",
    )
    by_status: dict[str, int] = {}
    for status, _, count in counts:
        by_status[status] = by_status.get(status, 0) + count
    executions = _rows(data_dir / _EXECUTIONS, "SELECT status, count(*) FROM executions GROUP BY 1")
    return Contents(
        running_jobs=sum(n for status, queued, n in counts if status in ("InProgress", "Stopping") and not queued),
        queued_jobs=sum(n for _, queued, n in counts if queued),
        jobs_by_status=by_status,
        executions_by_status=dict(executions),
        bytes_by_folder={folder.name: _disk_bytes(folder) for folder in sorted(data_dir.iterdir()) if folder.is_dir()},
    )


def reset(data_dir: Path) -> None:
    """Remove all that the folder holds; the folder stays.

    Raises DataFolderInUseError while a local AWS runs on it, ConfigurationError for a folder that is no data folder.
    """
    if not (data_dir / _LOCK).is_file():
        raise ConfigurationError(
            str(data_dir), "not the data folder of a local AWS", "", "name it with --data-dir; nothing was removed"
        )
    folder = DataFolder(data_dir)
    folder.hold()
    try:
        for entry in data_dir.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                _make_writable(entry)
                shutil.rmtree(entry)
            elif entry.name != _LOCK:
                entry.unlink()
    finally:
        folder.release()


def _make_writable(folder: Path) -> None:
    """Jobs may have left folders that even their owner cannot change."""
    for path, _, _ in os.walk(folder):
        os.chmod(path, 0o700)  # noqa: PTH101  os.walk gives texts, and there may be very many


def _rows(file: Path, query: str) -> list[Any]:
    if not file.exists():
        return []
    with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)) as database:
        return database.execute(query).fetchall()


def _disk_bytes(folder: Path) -> int:
    """The disk that the folder's files take; one that has several names there counts once."""
    return sum({(found.st_dev, found.st_ino): found.st_blocks * 512 for found in _files(folder)}.values())


def _files(folder: Path) -> Iterator[os.stat_result]:
    for path, _, names in os.walk(folder):
        for name in names:
            try:
                yield os.lstat(f"{path}/{name}")
            except FileNotFoundError:
                continue  # it was removed meanwhile
