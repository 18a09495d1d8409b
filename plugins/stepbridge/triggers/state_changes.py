"""A log line per state that an execution enters, leaves or fails in, while a trigger or a worker waits for it.

Only GetExecutionHistory reports a change, and its quota is small (20 a second and account). So the triggers of one
watcher take turns (``Subscribers.next_histories``): the calls do not grow with the number of executions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from stepbridge.aws.step_functions import StepFunctions

__all__ = ["StateChanges", "line_of"]

LATEST_EVENTS: Final = 100
"""How many events one call reads; older ones since the last call are left out."""


class StateChanges:
    """Reports each change of the execution's state once, with one GetExecutionHistory per call."""

    def __init__(self, client: StepFunctions, execution_arn: str) -> None:
        self._client = client
        self._execution_arn = execution_arn
        self._last_event = 0

    def new_lines(self) -> list[str]:
        """The changes since the last call, oldest first. Raises ``AwsError``."""
        events = self._client.latest_events(self._execution_arn, LATEST_EVENTS)
        fresh = [event for event in events if event["id"] > self._last_event]
        self._last_event = max((event["id"] for event in fresh), default=self._last_event)
        return [line for event in fresh if (line := line_of(event))]


def line_of(event: Mapping[str, Any]) -> str:
    """The line for a history event; empty for one that is no change of a state that takes time."""
    kind, at = event["type"], event["timestamp"].strftime("%H:%M:%S")
    if kind in {"TaskStateEntered", "WaitStateEntered"}:
        return f"{at} {event['stateEnteredEventDetails']['name']} entered"
    if kind == "TaskStateExited":
        return f"{at} {event['stateExitedEventDetails']['name']} left"
    if kind in {"TaskFailed", "TaskTimedOut", "TaskStartFailed", "TaskSubmitFailed"}:
        details = event[f"{kind[0].lower()}{kind[1:]}EventDetails"]
        return f"{at} {kind}: {details.get('error', '')}"
    return f"{at} {kind}" if kind.startswith("Execution") else ""
