"""The record of a build: its phases and status, as BatchGetBuilds returns them."""

from __future__ import annotations

import copy
import threading
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

__all__ = ["ENDED", "BuildRecord", "PhaseRecord"]

ENDED: Final = frozenset({"SUCCEEDED", "FAILED", "FAULT", "TIMED_OUT", "STOPPED"})


@dataclass
class PhaseRecord:
    """One phase. ``status`` is empty while it runs."""

    type: str
    started_at: datetime
    ended_at: datetime | None = None
    status: str = ""
    context: tuple[str, str] | None = None  # status code and message

    def described(self) -> dict[str, Any]:
        answer: dict[str, Any] = {"phaseType": self.type, "startTime": self.started_at}
        if self.ended_at is None:
            return answer
        answer |= {
            "phaseStatus": self.status,
            "endTime": self.ended_at,
            "durationInSeconds": int((self.ended_at - self.started_at).total_seconds()),
        }
        if self.context is not None:
            answer["contexts"] = [{"statusCode": self.context[0], "message": self.context[1]}]
        return answer


@dataclass
class BuildRecord:
    """A build from its start on. Thread safe: one thread writes, any may describe it.

    ``fixed`` holds the members of the API's Build that do not change.
    """

    fixed: dict[str, Any]
    status: str = "IN_PROGRESS"
    ended_at: datetime | None = None
    exported: list[dict[str, str]] = field(default_factory=list)
    phases: list[PhaseRecord] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, phase: str, now: datetime) -> None:
        """Enter a phase."""
        with self.lock:
            self.phases.append(PhaseRecord(phase, now))

    def finish(self, status: str, now: datetime, context: tuple[str, str] | None = None) -> None:
        """Leave the current phase."""
        with self.lock:
            phase = self.phases[-1]
            phase.status, phase.ended_at, phase.context = status, now, context

    def end(self, status: str, now: datetime) -> None:
        """Give the build its final status."""
        with self.lock:
            self.status, self.ended_at = status, now
            self.phases.append(PhaseRecord("COMPLETED", now))

    @property
    def ended(self) -> bool:
        return self.status in ENDED

    def described(self) -> dict[str, Any]:
        """The build as the API has it, a copy."""
        with self.lock:
            answer = copy.deepcopy(self.fixed)
            answer |= {
                "buildStatus": self.status,
                "currentPhase": self.phases[-1].type,
                "buildComplete": self.ended,
                "phases": [phase.described() for phase in self.phases],
                "exportedEnvironmentVariables": list(self.exported),
            }
            if self.ended_at is not None:
                answer["endTime"] = self.ended_at
            return answer
