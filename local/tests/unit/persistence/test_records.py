"""Records on a full disk: a change is kept whole or not at all, and the next one finds the file as it was."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from stepbridge_local.persistence.records import Records

BIG = [{"text": "x" * 100_000}]


@pytest.fixture
def records(tmp_path: Path) -> Records:
    """A file with one document under the name ``kept``."""
    records = Records(tmp_path / "records.sqlite")
    records.replace([(("kind", "scope", "kept"), [{"text": "old"}])])
    return records


def limit_pages(records: Records, number: int) -> None:
    """SQLite then answers as on a full disk."""
    records._database.execute(f"PRAGMA max_page_count = {number}")


def test_a_change_that_does_not_fit_leaves_the_old_documents(records: Records) -> None:
    """Its other names are unchanged too, and later changes go through once there is room."""
    limit_pages(records, 1)
    with pytest.raises(sqlite3.OperationalError, match="full"):
        records.replace([(("kind", "scope", "kept"), []), (("kind", "scope", "big"), BIG)])
    assert list(records.load("kind")) == [("scope", "kept", [{"text": "old"}])]
    limit_pages(records, 1_000_000)
    records.replace([(("kind", "scope", "big"), BIG)])
    assert [name for _, name, _ in records.load("kind")] == ["big", "kept"]


class _FullAtCommit:
    """A database whose first COMMIT fails without ending the transaction, as SQLite allows for a full disk."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self._fails = True

    def __getattr__(self, name: str) -> object:
        return getattr(self._database, name)

    def execute(self, statement: str, *values: object) -> object:
        if statement == "COMMIT" and self._fails:
            self._fails = False
            raise sqlite3.OperationalError("database or disk is full")
        return self._database.execute(statement, *values)


def test_a_commit_that_fails_does_not_block_the_next_change(records: Records) -> None:
    """The transaction ends, so the next one can begin: https://www.sqlite.org/lang_transaction.html"""
    records._database = _FullAtCommit(records._database)  # type: ignore[assignment]
    with pytest.raises(sqlite3.OperationalError, match="full"):
        records.replace([(("kind", "scope", "kept"), [])])
    assert list(records.load("kind")) == [("scope", "kept", [{"text": "old"}])]
    records.replace([(("kind", "scope", "new"), [{"text": "new"}])])
    assert [name for _, name, _ in records.load("kind")] == ["kept", "new"]
