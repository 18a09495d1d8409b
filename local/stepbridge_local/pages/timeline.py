"""What an execution did, state by state, read from its history. Pure.

Event types: https://docs.aws.amazon.com/step-functions/latest/apireference/API_HistoryEvent.html
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

__all__ = ["StateVisit", "chart", "duration", "event_details", "read_history"]

BAR_WIDTH: Final = 40
_FAILED_ATTEMPTS: Final = ("TaskFailed", "TaskTimedOut", "TaskStartFailed", "TaskSubmitFailed")
_FAILED_STATES: Final = ("ParallelStateFailed", "MapStateFailed")
_EXECUTION_ENDS: Final = ("ExecutionSucceeded", "ExecutionFailed", "ExecutionTimedOut", "ExecutionAborted")


@dataclass
class StateVisit:
    """One entry of a state. ``ended_at`` is None while the state runs.

    ``attempts`` counts the requests of a Task. ``jobs`` names the Processing jobs that SageMaker accepted. ``error``
    and ``cause`` are those of the last failed attempt, and ``failed`` says that a Parallel or Map state had one;
    ``succeeded`` says whether the state was exited all the same.
    """

    name: str
    type: str
    entered_at: datetime
    ended_at: datetime | None = None
    succeeded: bool = False
    failed: bool = False
    attempts: int = 0
    requested_job: str = ""
    jobs: list[str] = field(default_factory=list)
    error: str = ""
    cause: str = ""

    @property
    def status(self) -> str:
        if self.ended_at is None:
            return "RUNNING"
        failed = self.failed or self.error or self.type == "Fail"
        return "SUCCEEDED" if self.succeeded else "FAILED" if failed else "ABORTED"


def read_history(events: Iterable[Mapping[str, Any]]) -> list[StateVisit]:
    """The states in the order in which they were entered. ``events`` are those of GetExecutionHistory, all of them.

    A redrive continues in a state without entering it again: such a state has one visit with both attempts.
    """
    visits: list[StateVisit] = []
    visit_of: dict[int, StateVisit] = {}  # by event id; an event belongs to the state of the one before it
    for event in sorted(events, key=lambda each: int(each["id"])):
        event_type = str(event["type"])
        visit = visit_of.get(event.get("previousEventId", 0))
        if event_type.endswith("StateEntered"):
            name = event["stateEnteredEventDetails"]["name"]
            visit = StateVisit(name, event_type.removesuffix("StateEntered"), event["timestamp"])
            visits.append(visit)
        elif event_type in _EXECUTION_ENDS:
            for each in visits:
                each.ended_at = each.ended_at or event["timestamp"]
        elif event_type in _FAILED_STATES:  # the event before it is one of a branch
            of_type = [each for each in visits if each.type == event_type.removesuffix("StateFailed")]
            for each in [each for each in of_type if not each.succeeded][-1:]:
                each.failed = True
        elif visit is not None:
            _read_event(visit, event_type, event)
        if visit is not None:
            visit_of[event["id"]] = visit
    return visits


def _read_event(visit: StateVisit, event_type: str, event: Mapping[str, Any]) -> None:
    details = event_details(event)
    if event_type == "ExecutionRedriven":
        visit.ended_at = None
    elif event_type == "TaskScheduled":
        visit.attempts += 1
        visit.requested_job = _job_name(details)
    elif event_type in ("TaskSubmitted", "TaskSucceeded"):
        if visit.requested_job and visit.requested_job not in visit.jobs:
            visit.jobs.append(visit.requested_job)
    elif event_type in _FAILED_ATTEMPTS:
        visit.error = details.get("error") or "States.TaskFailed"
        visit.cause = details.get("cause") or ""
    elif event_type.endswith("StateExited"):
        visit.succeeded, visit.ended_at = True, event["timestamp"]


def event_details(event: Mapping[str, Any]) -> Mapping[str, Any]:
    """The details that the event has for its type."""
    return next((value for key, value in event.items() if key.endswith("EventDetails")), {})


def _job_name(details: Mapping[str, Any]) -> str:
    """The name of the Processing job that a Task requests; empty for any other Task."""
    if details.get("resourceType") != "sagemaker" or not details.get("resource", "").startswith("createProcessingJob"):
        return ""
    return str(json.loads(details["parameters"]).get("ProcessingJobName", ""))


def chart(visits: Sequence[StateVisit], started_at: datetime, ended_at: datetime) -> str:
    """A line for each visit: state, seconds, status, and a bar where in the execution's time it ran."""
    total = (ended_at - started_at).total_seconds() or 1.0
    rows = []
    for visit in visits:
        left = min(int((visit.entered_at - started_at).total_seconds() / total * BAR_WIDTH), BAR_WIDTH - 1)
        right = round(((visit.ended_at or ended_at) - started_at).total_seconds() / total * BAR_WIDTH)
        bar = " " * left + "█" * max(min(right, BAR_WIDTH) - left, 1)
        rows.append((visit.name, duration(visit.entered_at, visit.ended_at or ended_at), bar, visit.status))
    name_width = max((len(row[0]) for row in rows), default=0)
    time_width = max((len(row[1]) for row in rows), default=0)
    return "\n".join(
        f"{name:<{name_width}}  {time:>{time_width}}  |{bar:<{BAR_WIDTH}}|  {status}"
        for name, time, bar, status in rows
    )


def duration(start: datetime | None, end: datetime | None) -> str:
    """``0.42 s``, ``12.3 s``, ``4 min 05 s`` or ``2 h 05 min``; ``-`` when one of the times is not known."""
    if start is None or end is None:
        return "-"
    seconds = (end - start).total_seconds()
    if round(seconds, 2) < 10:
        return f"{seconds:.2f} s"
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
