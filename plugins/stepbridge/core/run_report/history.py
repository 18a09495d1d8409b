"""GetExecutionHistory's events, read into the attempts of each state that runs Processing jobs.

The state machine runs its stages one after the other, so an event without a state's name belongs to the Task entered
last; this is true across a redrive too, which continues in a state without entering it again.
Event types: https://docs.aws.amazon.com/step-functions/latest/apireference/API_HistoryEvent.html.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

# The key of the event's details, and the error when they have none.
_ATTEMPT_FAILURES: Final = {
    "TaskFailed": ("taskFailedEventDetails", "States.TaskFailed"),
    "TaskTimedOut": ("taskTimedOutEventDetails", "States.Timeout"),
    "TaskStartFailed": ("taskStartFailedEventDetails", "States.TaskFailed"),
    "TaskSubmitFailed": ("taskSubmitFailedEventDetails", "States.TaskFailed"),
}
_EXECUTION_ENDS: Final = frozenset({"ExecutionSucceeded", "ExecutionFailed", "ExecutionTimedOut", "ExecutionAborted"})


@dataclass
class Attempt:
    """One request of a state to SageMaker. ``ended_at`` is None while it runs and when the execution ended under it."""

    state_name: str
    scheduled_at: datetime
    request: Mapping[str, Any]
    response: Mapping[str, Any] = field(default_factory=dict)
    ended_at: datetime | None = None
    succeeded: bool = False
    error: str | None = None
    cause: str | None = None

    @property
    def job_name(self) -> str | None:
        return self.request.get("ProcessingJobName")

    @property
    def job_arn(self) -> str | None:
        """The job's ARN once SageMaker accepted the request."""
        return self.response.get("ProcessingJobArn") or self.description.get("ProcessingJobArn")

    @property
    def description(self) -> Mapping[str, Any]:
        """The job's description that a failed ``.sync`` task has for its cause, or nothing."""
        found = parsed_object(self.cause)
        return found if "ProcessingJobName" in found else {}


@dataclass
class History:
    """``attempts`` in order; ``pauses`` are the times between an end and the redrive that followed it."""

    attempts: list[Attempt] = field(default_factory=list)
    pauses: list[tuple[datetime, datetime]] = field(default_factory=list)
    ended_at: datetime | None = None


def job_names(history: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """The names of the jobs that SageMaker created, in order: those to call DescribeProcessingJob for."""
    attempts = read_history(history).attempts
    names = (attempt.job_name for attempt in attempts if attempt.job_arn or attempt.succeeded)
    return tuple(dict.fromkeys(name for name in names if name))


def read_history(events: Sequence[Mapping[str, Any]]) -> History:
    """The attempts and pauses in ``events``, which may be in any order."""
    history = History()
    state: str | None = None
    for event in sorted(events, key=lambda event: event["id"]):
        event_type: str = event["type"]
        if event_type == "TaskStateEntered":
            state = event["stateEnteredEventDetails"]["name"]
        elif event_type in _EXECUTION_ENDS:
            history.ended_at = _timestamp(event)
        elif event_type == "ExecutionRedriven" and history.ended_at is not None:
            history.pauses.append((history.ended_at, _timestamp(event)))
            history.ended_at = None
        elif state is not None:
            _read_task_event(history.attempts, state, event_type, event)
    return history


def _read_task_event(attempts: list[Attempt], state: str, event_type: str, event: Mapping[str, Any]) -> None:
    if event_type == "TaskScheduled":
        request = parsed_object(event.get("taskScheduledEventDetails", {}).get("parameters"))
        attempts.append(Attempt(state, _timestamp(event), request))
        return
    attempt = next((attempt for attempt in reversed(attempts) if attempt.state_name == state), None)
    if attempt is None or attempt.ended_at is not None:
        return
    if event_type == "TaskSubmitted":
        attempt.response = parsed_object(event.get("taskSubmittedEventDetails", {}).get("output"))
    elif event_type == "TaskSucceeded":
        attempt.succeeded, attempt.ended_at = True, as_datetime(event["timestamp"])
        attempt.response = {**attempt.response, **parsed_object(event["taskSucceededEventDetails"].get("output"))}
    elif event_type in _ATTEMPT_FAILURES:
        key, default_error = _ATTEMPT_FAILURES[event_type]
        details = event.get(key, {})
        attempt.ended_at = as_datetime(event["timestamp"])
        attempt.error = details.get("error") or default_error
        attempt.cause = details.get("cause")


def _timestamp(event: Mapping[str, Any]) -> datetime:
    found = as_datetime(event["timestamp"])
    assert found is not None, "every history event has a timestamp"
    return found


def as_datetime(value: Any) -> datetime | None:
    """The aware datetime of an AWS time: boto3's datetime, or the milliseconds since 1970 in a cause."""
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    if isinstance(value, int | float) and not isinstance(value, bool):
        seconds = value / 1000 if value > 1e11 else value
        return datetime.fromtimestamp(seconds, UTC)
    return None


def parsed_object(text: Any) -> Mapping[str, Any]:
    """The JSON object in ``text``; empty when it is none, such as a cause that was cut at its maximum length."""
    if not isinstance(text, str):
        return {}
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
