"""The records of all processing jobs ever created, in one SQLite file.

A name is taken for ever, so records are never deleted. There may be many, so none is kept in memory. A change is
written before its call returns. If the process is killed, either the old or the new record remains.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Lock
from typing import Any

from stepbridge_local.persistence.reserve import DiskReserve
from stepbridge_local.protocols import Scope
from stepbridge_local.services.sagemaker.errors import BrokenRecordError, job_name_in_use, job_not_found
from stepbridge_local.services.sagemaker.job import FINAL, INTERRUPTED, Event, ProcessingJob, Status, advance
from stepbridge_local.services.sagemaker.job_list import Selection

__all__ = ["RECORDS_FILE", "JobStore"]

RECORDS_FILE = "jobs.sqlite"
_VERSION = 1
_TIMES = ("creation_time", "last_modified_time", "start_time", "end_time")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# Members that ListProcessingJobs filters or sorts by have their own columns. Times are microseconds since the epoch.
_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS jobs (
    account_id TEXT, region TEXT, name TEXT,
    status TEXT, creation_time INTEGER, last_modified_time INTEGER, record TEXT,
    PRIMARY KEY (account_id, region, name)
);
CREATE INDEX IF NOT EXISTS jobs_by_time ON jobs (account_id, region, creation_time, name);
CREATE INDEX IF NOT EXISTS jobs_by_status ON jobs (status, account_id, region, name);
PRAGMA user_version = {_VERSION};
"""


class JobStore:
    """Records in ``folder``. Safe to use from several threads.

    When a folder is opened, unfinished jobs of an earlier process become Failed, at ``now``. Raises BrokenRecordError
    if the records cannot be read. ``reserve`` is where changes go on a full disk.
    """

    def __init__(self, folder: Path, now: datetime, reserve: DiskReserve | None = None) -> None:
        self._reserve = reserve or DiskReserve()
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / RECORDS_FILE
        self._lock = Lock()
        try:
            self._database = self._opened()
        except sqlite3.DatabaseError as error:
            remedy = "move the file away to forget all jobs"
            raise BrokenRecordError(str(self._path), f"not the records of jobs ({error})", remedy=remedy) from error
        for job in self._unfinished():
            self._write(advance(job, Event.FAILED, now, INTERRUPTED))

    def add(self, job: ProcessingJob) -> None:
        """Store a new job. Raises ServiceError ResourceInUse if its name has been used before in its scope."""
        with self._lock:
            if self._find(job.scope, job.name) is not None:
                raise job_name_in_use(job.arn)
            self._write(job)

    def get(self, scope: Scope, name: str) -> ProcessingJob:
        """The job. Raises the ServiceError of a name that no job has."""
        with self._lock:
            return self._get(scope, name)

    def update(self, scope: Scope, name: str, change: Callable[[ProcessingJob], ProcessingJob]) -> ProcessingJob:
        """Replace the job by ``change(job)`` under the lock, and return it."""
        with self._lock:
            job = change(self._get(scope, name))
            self._write(job)
            return job

    def select(self, scope: Scope, selection: Selection) -> Sequence[ProcessingJob]:
        """The jobs of an account and region that the selection asks for, in its order."""
        query = f"SELECT record FROM jobs WHERE account_id = ? AND region = ? AND {selection.condition}"
        query += f" ORDER BY {selection.order} LIMIT ?"
        with self._lock:
            rows = self._database.execute(
                query, (scope.account_id, scope.region, *selection.parameters, selection.limit)
            ).fetchall()
        return [self._read(record) for (record,) in rows]

    def _opened(self) -> sqlite3.Connection:
        database = sqlite3.connect(self._path, check_same_thread=False, isolation_level=None)
        version = database.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, _VERSION):
            raise BrokenRecordError(str(self._path), f"records of version {version}", f"version {_VERSION}")
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = OFF")  # survives the death of the process, not a power cut
        database.executescript(_SCHEMA)
        return database

    def _unfinished(self) -> list[ProcessingJob]:
        # A list: the statuses must be named for the index to be used, and what is found is changed while going through.
        statuses = sorted(status for status in Status if status not in FINAL)
        marks = ", ".join("?" * len(statuses))
        rows = self._database.execute(f"SELECT record FROM jobs WHERE status IN ({marks})", statuses).fetchall()
        return [self._read(record) for (record,) in rows]

    def _find(self, scope: Scope, name: str) -> ProcessingJob | None:
        query = "SELECT record FROM jobs WHERE account_id = ? AND region = ? AND name = ?"
        row = self._database.execute(query, (scope.account_id, scope.region, name)).fetchone()
        return None if row is None else self._read(row[0])

    def _get(self, scope: Scope, name: str) -> ProcessingJob:
        job = self._find(scope, name)
        if job is None:
            raise job_not_found(name)
        return job

    def _write(self, job: ProcessingJob) -> None:
        times = (_microseconds(job.creation_time), _microseconds(job.last_modified_time))
        row = (job.scope.account_id, job.scope.region, job.name, str(job.status), *times, json.dumps(_record(job)))
        statement = "INSERT OR REPLACE INTO jobs VALUES (?, ?, ?, ?, ?, ?, ?)"
        self._reserve.write(lambda: self._database.execute(statement, row))

    def _read(self, text: str) -> ProcessingJob:
        try:
            record = json.loads(text)
            times = {name: record[name] and datetime.fromisoformat(record[name]) for name in _TIMES}
            values = record | times | {"scope": Scope(**record["scope"]), "status": Status(record["status"])}
            return ProcessingJob(**values)
        except (ValueError, KeyError, TypeError) as error:
            found = f"not the record of a processing job ({type(error).__name__}: {error}): {text[:80]}"
            raise BrokenRecordError(str(self._path), found, remedy="move the file away to forget all jobs") from error


def _microseconds(time: datetime) -> int:
    return (time - _EPOCH) // timedelta(microseconds=1)


def _record(job: ProcessingJob) -> dict[str, Any]:
    record = asdict(job) | {"status": str(job.status)}
    return record | {name: record[name] and record[name].isoformat() for name in _TIMES}
