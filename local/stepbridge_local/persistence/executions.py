"""The records of all executions of state machines, with their histories, in one SQLite file.

Events are written as they happen, so if the process is killed, everything up to that moment is kept. The next process
that opens the file ends the executions that were left running.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from threading import Lock
from typing import Any, Final

from stepbridge_local.persistence.records import Document
from stepbridge_local.persistence.reserve import DiskReserve

__all__ = ["INTERRUPTED_CAUSE", "INTERRUPTED_ERROR", "RECORDS_FILE", "ExecutionRecords"]

RECORDS_FILE: Final = "executions.sqlite"
INTERRUPTED_ERROR: Final = "States.Runtime"
INTERRUPTED_CAUSE: Final = "the local AWS was stopped while the execution ran"
_VERSION: Final = 1

# A redrive continues from a checkpoint. It changes more often than the record, and is needed less often.
_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS executions (
    arn TEXT PRIMARY KEY, state_machine_arn TEXT, status TEXT, record TEXT, checkpoint TEXT
);
CREATE INDEX IF NOT EXISTS executions_by_machine ON executions (state_machine_arn);
CREATE INDEX IF NOT EXISTS executions_by_status ON executions (status);
CREATE TABLE IF NOT EXISTS events (arn TEXT, id INTEGER, event TEXT, PRIMARY KEY (arn, id)) WITHOUT ROWID;
PRAGMA user_version = {_VERSION};
"""


class ExecutionRecords:
    """Records in ``file``. Safe to use from several threads.

    A record is a JSON document with at least ``arn``, ``state_machine_arn`` and ``status``. Opening the file ends what
    is RUNNING in it, at ``now``: FAILED with INTERRUPTED_ERROR and INTERRUPTED_CAUSE, in the record's ``error``,
    ``cause`` and ``stop_date``, and with the event that says so. Raises sqlite3.DatabaseError for any other file.
    ``reserve`` is where changes go on a full disk.
    """

    def __init__(self, file: Path, now: datetime, reserve: DiskReserve | None = None) -> None:
        self._reserve = reserve or DiskReserve()
        file.parent.mkdir(parents=True, exist_ok=True)
        self._lock = Lock()
        self._closed = False
        self._database = sqlite3.connect(file, check_same_thread=False, isolation_level=None)
        version = self._database.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, _VERSION):
            raise sqlite3.DatabaseError(f"{file}: records of version {version}; expected version {_VERSION}")
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = OFF")  # survives the death of the process, not a power cut
        self._database.executescript(_SCHEMA)
        self._database.execute("BEGIN")
        with self._database:  # both an execution's record and its last event, or neither
            self._end_interrupted(now)

    # --- writing: ignored once closed, when what still runs counts as interrupted ------------------------------------
    def add(self, record: Document) -> None:
        """Keep the record of a new execution."""
        row = (record["arn"], record["state_machine_arn"], record["status"], json.dumps(record), json.dumps(None))
        self._write("INSERT INTO executions VALUES (?, ?, ?, ?, ?)", row)

    def update(self, record: Document, checkpoint: Document | None) -> None:
        """Keep the record in the place of the one before, unless that was forgotten; and where a redrive continues."""
        row = (record["status"], json.dumps(record), json.dumps(checkpoint), record["arn"])
        self._write("UPDATE executions SET status = ?, record = ?, checkpoint = ? WHERE arn = ?", row)

    def put_checkpoint(self, arn: str, checkpoint: Document) -> None:
        """Keep what a redrive of the execution would continue from."""
        self._write("UPDATE executions SET checkpoint = ? WHERE arn = ?", (json.dumps(checkpoint), arn))

    def add_event(self, arn: str, event: Mapping[str, Any]) -> None:
        """Keep one event of the history, unless the execution was forgotten; ``event["id"]`` is its place."""
        row = (event["id"], json.dumps(event), arn)
        self._write("INSERT INTO events SELECT arn, ?, ? FROM executions WHERE arn = ?", row)

    def forget_machine(self, state_machine_arn: str) -> None:
        """Remove the executions of a state machine that was deleted."""
        arns = "SELECT arn FROM executions WHERE state_machine_arn = ?"
        self._write(f"DELETE FROM events WHERE arn IN ({arns})", (state_machine_arn,))
        self._write("DELETE FROM executions WHERE state_machine_arn = ?", (state_machine_arn,))

    # --- reading ------------------------------------------------------------------------------------------------------
    def of_machine(self, state_machine_arn: str) -> list[Document]:
        """The records of a state machine's executions, in no order."""
        query = "SELECT record FROM executions WHERE state_machine_arn = ?"
        return [json.loads(record) for (record,) in self._rows(query, (state_machine_arn,))]

    def find(self, arn: str) -> Document | None:
        """The record of one execution."""
        rows = self._rows("SELECT record FROM executions WHERE arn = ?", (arn,))
        return json.loads(rows[0][0]) if rows else None

    def checkpoint(self, arn: str) -> Document | None:
        """What a redrive of the execution continues from; None when it entered no state."""
        rows = self._rows("SELECT checkpoint FROM executions WHERE arn = ?", (arn,))
        return json.loads(rows[0][0]) if rows else None

    def events(self, arn: str) -> list[dict[str, Any]]:
        """The history of an execution."""
        rows = self._rows("SELECT event FROM events WHERE arn = ? ORDER BY id", (arn,))
        return [json.loads(event) for (event,) in rows]

    def close(self) -> None:
        """Write no more. Idempotent."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._database.close()

    def _write(self, statement: str, values: tuple[Any, ...]) -> None:
        with self._lock:
            if not self._closed:
                self._reserve.write(lambda: self._database.execute(statement, values))

    def _rows(self, query: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        with self._lock:
            return [] if self._closed else self._database.execute(query, values).fetchall()

    def _end_interrupted(self, now: datetime) -> None:
        rows = self._rows("SELECT record, checkpoint FROM executions WHERE status = ?", ("RUNNING",))
        for record, checkpoint in rows:
            failure = {"error": INTERRUPTED_ERROR, "cause": INTERRUPTED_CAUSE}
            ended = json.loads(record) | failure | {"status": "FAILED", "stop_date": now.isoformat()}
            last = self._rows("SELECT max(id) FROM events WHERE arn = ?", (ended["arn"],))[0][0] or 0
            event = {
                "id": last + 1,
                "previousEventId": last,
                "type": "ExecutionFailed",
                "timestamp": now.isoformat(timespec="milliseconds"),
                "executionFailedEventDetails": failure,
            }
            self.add_event(ended["arn"], event)
            self.update(ended, json.loads(checkpoint))
