"""The records of all processing jobs ever created: one JSON file each, indexed in memory.

A name is taken for ever, so records are never deleted. A file is replaced atomically, so a killed process leaves either
the old record or the new one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from threading import Lock
from typing import Any

from stepbridge.local.ports import Scope
from stepbridge.local.processing.faults import BrokenRecordFault, job_name_in_use, job_not_found
from stepbridge.local.processing.job import INTERRUPTED, Event, ProcessingJob, Status, advance

__all__ = ["JobStore"]

_RECORD_VERSION = 1
_TIMES = ("creation_time", "last_modified_time", "start_time", "end_time")


class JobStore:
    """Records under ``folder/<account>/<region>/<name>.json``. Safe to use from several threads.

    Opening a folder ends what a dead process left unfinished: such jobs become Failed, at ``now``. Raises
    BrokenRecordFault when a record cannot be read.
    """

    def __init__(self, folder: Path, now: datetime) -> None:
        self._folder = folder
        self._lock = Lock()
        self._jobs: dict[Scope, dict[str, ProcessingJob]] = {}
        for path in sorted(folder.glob("[0-9]*/*/*.json")):
            job = _read(path)
            if not job.is_final:
                job = advance(job, Event.FAILED, now, INTERRUPTED)
                self._write(job)
            self._jobs.setdefault(job.scope, {})[job.name] = job

    def add(self, job: ProcessingJob) -> None:
        """Keep a new job. Raises ServiceFault ResourceInUse when its name was ever used in its scope."""
        with self._lock:
            of_scope = self._jobs.setdefault(job.scope, {})
            if job.name in of_scope:
                raise job_name_in_use(job.arn)
            self._write(job)
            of_scope[job.name] = job

    def get(self, scope: Scope, name: str) -> ProcessingJob:
        """The job. Raises the ServiceFault of a name that no job has."""
        with self._lock:
            return self._get(scope, name)

    def update(self, scope: Scope, name: str, change: Callable[[ProcessingJob], ProcessingJob]) -> ProcessingJob:
        """Replace the job by ``change(job)``, which nobody interrupts, and return it."""
        with self._lock:
            job = change(self._get(scope, name))
            self._write(job)
            self._jobs[scope][name] = job
            return job

    def of_scope(self, scope: Scope) -> Sequence[ProcessingJob]:
        """All jobs of an account and region, in the order of their creation."""
        with self._lock:
            return list(self._jobs.get(scope, {}).values())

    def _get(self, scope: Scope, name: str) -> ProcessingJob:
        job = self._jobs.get(scope, {}).get(name)
        if job is None:
            raise job_not_found(name)
        return job

    def _write(self, job: ProcessingJob) -> None:
        path = self._folder / job.scope.account_id / job.scope.region / f"{job.name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        # One writer at a time (the lock), so one name for the new file is enough; a killed writer's is overwritten.
        draft = path.with_suffix(".draft")
        draft.write_text(json.dumps(_record(job), indent=1), encoding="utf-8")
        draft.replace(path)


def _record(job: ProcessingJob) -> dict[str, Any]:
    record = asdict(job) | {"version": _RECORD_VERSION, "status": str(job.status)}
    return record | {name: record[name] and record[name].isoformat() for name in _TIMES}


def _read(path: Path) -> ProcessingJob:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        version = record.pop("version")
        if version != _RECORD_VERSION:
            raise BrokenRecordFault(str(path), f"a record of version {version}", f"version {_RECORD_VERSION}")
        times = {name: record[name] and datetime.fromisoformat(record[name]) for name in _TIMES}
        values = record | times | {"scope": Scope(**record["scope"]), "status": Status(record["status"])}
        return ProcessingJob(**values)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        found = f"not the record of a processing job ({type(error).__name__}: {error})"
        raise BrokenRecordFault(str(path), found, remedy="move the file away to forget this job") from error
