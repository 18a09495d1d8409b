"""The records of builds in the data folder, so that a restart finds them again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from stepbridge_local.persistence.records import Records
from stepbridge_local.persistence.reserve import DiskReserve
from stepbridge_local.protocols import Scope
from stepbridge_local.services.codebuild.record import BuildRecord, PhaseRecord

__all__ = ["INTERRUPTED_MESSAGE", "RECORDS_FILE", "BuildHistory"]

RECORDS_FILE: Final = "builds.sqlite"
INTERRUPTED_MESSAGE: Final = "the local AWS was stopped while the build ran"
_KIND: Final = "build"


class BuildHistory:
    """Build records in ``file``. Thread safe. ``reserve`` is where changes go on a full disk."""

    def __init__(self, file: Path, reserve: DiskReserve | None = None) -> None:
        self._records = Records(file, reserve)

    def keep(self, scope: Scope, record: BuildRecord) -> None:
        """Store the record as it is now, instead of the earlier one of this build."""
        name = (_KIND, f"{scope.account_id}/{scope.region}", record.fixed["id"])
        self._records.replace([(name, [_document(record)])])

    def load(self, now: datetime) -> Iterator[tuple[Scope, BuildRecord]]:
        """All builds in the order of their starts. Builds that had not ended become FAILED at ``now``."""
        found = []
        for place, _, (document,) in self._records.load(_KIND):
            account_id, _, region = place.partition("/")
            found.append((Scope(account_id, region), _record(document)))
        for scope, record in sorted(found, key=lambda one: (one[1].fixed["startTime"], one[1].fixed["buildNumber"])):
            if not record.ended:
                record.finish("FAILED", now, ("INTERNAL_ERROR", INTERRUPTED_MESSAGE))
                record.end("FAILED", now)
                self.keep(scope, record)
            yield scope, record


def _document(record: BuildRecord) -> dict[str, Any]:
    with record.lock:
        return {
            "fixed": {**record.fixed, "startTime": record.fixed["startTime"].isoformat()},
            "status": record.status,
            "ended_at": _text(record.ended_at),
            "exported": list(record.exported),
            "phases": [
                asdict(phase) | {"started_at": _text(phase.started_at), "ended_at": _text(phase.ended_at)}
                for phase in record.phases
            ],
        }


def _record(document: Mapping[str, Any]) -> BuildRecord:
    fixed = document["fixed"]
    return BuildRecord(
        fixed={**fixed, "startTime": datetime.fromisoformat(fixed["startTime"])},
        status=document["status"],
        ended_at=_moment(document["ended_at"]),
        exported=list(document["exported"]),
        phases=[_phase(phase) for phase in document["phases"]],
    )


def _phase(document: Mapping[str, Any]) -> PhaseRecord:
    times = {"started_at": _moment(document["started_at"]), "ended_at": _moment(document["ended_at"])}
    context = None if document["context"] is None else tuple(document["context"])
    return PhaseRecord(**{**document, **times, "context": context})


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
