"""Records of buckets, objects, repositories and images: JSON documents in one SQLite file."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from stepbridge_local.persistence.reserve import DiskReserve

__all__ = ["Change", "Document", "RecordName", "Records"]

Document = Mapping[str, Any]
RecordName = tuple[str, str, str]  # kind, scope, name: ("object", "my-bucket", "a/key")
Change = tuple[RecordName, Sequence[Document]]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS records (
    kind TEXT, scope TEXT, name TEXT, position INTEGER, document TEXT,
    PRIMARY KEY (kind, scope, name, position)
) WITHOUT ROWID
"""


class Records:
    """A list of documents under each name. Thread safe.

    A change survives the end of the process, but perhaps not a power cut: writes are not synced to disk. ``reserve`` is
    where changes go on a full disk.
    """

    def __init__(self, file: Path, reserve: DiskReserve | None = None) -> None:
        self._reserve = reserve or DiskReserve()
        file.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._database = sqlite3.connect(file, check_same_thread=False, isolation_level=None)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = OFF")
        self._database.execute(_SCHEMA)

    def replace(self, changes: Sequence[Change]) -> None:
        """Make each name hold exactly these documents, none of them to forget it; all changes or none."""
        if changes:
            self._reserve.write(lambda: self._replace(changes))

    def _replace(self, changes: Sequence[Change]) -> None:
        with self._lock:
            self._database.execute("BEGIN")
            try:
                for name, documents in changes:
                    self._database.execute("DELETE FROM records WHERE kind = ? AND scope = ? AND name = ?", name)
                    self._database.executemany(
                        "INSERT INTO records VALUES (?, ?, ?, ?, ?)",
                        [(*name, position, json.dumps(document)) for position, document in enumerate(documents)],
                    )
                self._database.execute("COMMIT")
            except BaseException:
                if self._database.in_transaction:  # SQLite itself rolls back after some errors, such as a full disk
                    self._database.execute("ROLLBACK")
                raise

    def load(self, kind: str) -> Iterator[tuple[str, str, list[Document]]]:
        """Every scope and name of the kind with its documents, in the order of scope and name."""
        rows = self._database.execute(
            "SELECT scope, name, document FROM records WHERE kind = ? ORDER BY scope, name, position", (kind,)
        )
        for (scope, name), group in groupby(rows, key=lambda row: (row[0], row[1])):
            yield scope, name, [json.loads(document) for _, _, document in group]

    def close(self) -> None:
        with self._lock:
            self._database.close()
