"""The objects that an execution read and wrote, as the run report lists them. Pure."""

import re
from collections.abc import Sequence
from typing import Final

from stepbridge.core.run_report.model import Listing, ObjectReport

LISTED_OBJECTS: Final = 100
"""How many objects a report names; it is an XCom, so it stays small."""

_HEADED: Final = (".csv", ".tsv")
_PLAIN: Final = (".jsonl", ".ndjson")
_TABLE: Final = re.compile(r"\.(csv|tsv|jsonl|ndjson|parquet|orc|avro|feather|arrow|xlsx?)(\.\w+)?$", re.IGNORECASE)


def listing(uri: str, objects: Sequence[ObjectReport], complete: bool) -> Listing:
    """The listing of ``objects``; only the first ``LISTED_OBJECTS`` are named. What is no table has no rows."""
    tables = [each.rows for each in objects if _TABLE.search(each.key)]
    rows = [each for each in tables if each is not None]
    return Listing(
        uri=uri,
        count=len(objects),
        bytes=sum(each.bytes for each in objects),
        rows=sum(rows) if complete and rows and rows == tables else None,
        complete=complete,
        objects=tuple(objects[:LISTED_OBJECTS]),
    )


def counts_rows(key: str) -> bool:
    """Whether the object is a table of lines by its name: CSV, TSV or JSON lines, not compressed."""
    return key.lower().endswith(_HEADED + _PLAIN)


class RowCounter:
    """Counts the records of a CSV, TSV (below their header) or JSON lines object from its chunks of bytes.

    A line break within a quoted field is no line end. Empty lines do not count.
    """

    def __init__(self, key: str) -> None:
        self._headed = key.lower().endswith(_HEADED)
        self._quoted = False
        self._has_text = False
        self._lines = 0

    def add(self, chunk: bytes) -> None:
        """Count the next chunk."""
        parts = chunk.split(b'"') if self._headed else [chunk]
        for number, part in enumerate(parts):
            if number:
                self._quoted = not self._quoted
                self._has_text = True
            if not self._quoted:
                self._add_plain(part)
            elif part:
                self._has_text = True

    def _add_plain(self, part: bytes) -> None:
        first, *others = part.split(b"\n")
        self._has_text = self._has_text or bool(first.strip())
        for line in others:
            self._lines += self._has_text
            self._has_text = bool(line.strip())

    @property
    def rows(self) -> int:
        """The records so far; the last line counts without its line end."""
        lines = self._lines + self._has_text
        return max(lines - 1, 0) if self._headed else lines
