"""Records of executions: what is kept, what is ended when they are opened again, and what stays forgotten."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from stepbridge_local.persistence.executions import INTERRUPTED_CAUSE, ExecutionRecords

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def record(name: str, status: str, machine: str = "m") -> dict[str, Any]:
    return {"arn": f"{machine}:{name}", "state_machine_arn": machine, "status": status, "input": "{}"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "executions" / "executions.sqlite"


def test_what_ended_is_read_as_it_was_written(file: Path) -> None:
    """The record, its events in their order, and where a redrive would continue."""
    first = ExecutionRecords(file, NOW)
    first.add(record("a", "RUNNING"))
    for number in (1, 2):
        first.add_event("m:a", {"id": number, "type": "PassStateEntered"})
    first.update(record("a", "SUCCEEDED"), {"finished": True})
    again = ExecutionRecords(file, NOW)
    assert again.find("m:a") == record("a", "SUCCEEDED")
    assert again.of_machine("m") == [record("a", "SUCCEEDED")]
    assert [event["id"] for event in again.events("m:a")] == [1, 2]
    assert again.checkpoint("m:a") == {"finished": True}


def test_what_was_running_is_failed_once(file: Path) -> None:
    """With error, cause, date and the event that says so; its checkpoint is kept for a redrive."""
    first = ExecutionRecords(file, NOW)
    first.add(record("a", "RUNNING"))
    first.add_event("m:a", {"id": 1, "type": "ExecutionStarted"})
    first.put_checkpoint("m:a", {"state": "S"})
    first.close()
    for _ in range(2):
        again = ExecutionRecords(file, NOW)
        ended = again.find("m:a")
        assert ended is not None
        assert (ended["status"], ended["error"], ended["cause"]) == ("FAILED", "States.Runtime", INTERRUPTED_CAUSE)
        assert ended["stop_date"] == NOW.isoformat()
        assert [event["type"] for event in again.events("m:a")] == ["ExecutionStarted", "ExecutionFailed"]
        assert again.checkpoint("m:a") == {"state": "S"}
        again.close()


def test_an_end_that_cannot_be_written_leaves_no_event(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The start that failed, as on a full disk, has kept nothing; the next one ends the execution once."""
    first = ExecutionRecords(file, NOW)
    first.add(record("a", "RUNNING"))
    first.add_event("m:a", {"id": 1, "type": "ExecutionStarted"})
    first.close()
    with monkeypatch.context() as full:
        full.setattr(ExecutionRecords, "update", lambda *_: (_ for _ in ()).throw(sqlite3.OperationalError("full")))
        with pytest.raises(sqlite3.OperationalError, match="full"):
            ExecutionRecords(file, NOW)
    again = ExecutionRecords(file, NOW)
    assert [event["type"] for event in again.events("m:a")] == ["ExecutionStarted", "ExecutionFailed"]


def test_an_execution_that_outlives_its_machine_is_not_written_again(file: Path) -> None:
    """Its machine's executions were forgotten; those of other machines were not."""
    records = ExecutionRecords(file, NOW)
    for machine in ("m", "other"):
        records.add(record("a", "RUNNING", machine))
        records.add_event(f"{machine}:a", {"id": 1})
    records.forget_machine("m")
    records.add_event("m:a", {"id": 2})
    records.update(record("a", "SUCCEEDED"), None)
    assert (records.find("m:a"), records.events("m:a")) == (None, [])
    assert (records.of_machine("other"), records.events("other:a")) == ([record("a", "RUNNING", "other")], [{"id": 1}])


def test_after_the_close_nothing_is_written(file: Path) -> None:
    """An execution that ends while the local AWS stops counts as interrupted."""
    records = ExecutionRecords(file, NOW)
    records.add(record("a", "RUNNING"))
    records.close()
    records.close()
    records.update(record("a", "SUCCEEDED"), None)
    ended = ExecutionRecords(file, NOW).find("m:a")
    assert ended is not None
    assert ended["status"] == "FAILED"


def test_records_of_another_version_are_refused(file: Path) -> None:
    """Rather than read wrongly."""
    ExecutionRecords(file, NOW).close()
    with sqlite3.connect(file) as database:
        database.execute("PRAGMA user_version = 99")
    with pytest.raises(sqlite3.DatabaseError, match=r"version 99; expected version 1"):
        ExecutionRecords(file, NOW)
