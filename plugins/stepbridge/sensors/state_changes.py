"""A line per state that an execution enters or fails in, while somebody waits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stepbridge.aws.step_functions import StepFunctions

__all__ = ["StateChanges", "line_of"]


class StateChanges:
    """Hands out each change of the execution's state once."""

    def __init__(self, client: StepFunctions, execution_arn: str) -> None:
        self._client = client
        self._execution_arn = execution_arn
        self._last_event = 0

    def new_lines(self) -> list[str]:
        """The changes since the last call, oldest first. Raises ``AwsFault``."""
        fresh = [event for event in self._client.history(self._execution_arn) if event["id"] > self._last_event]
        if not fresh:
            return []
        self._last_event = max(event["id"] for event in fresh)
        return [line for event in fresh if (line := line_of(event))]


def line_of(event: Mapping[str, Any]) -> str:
    """The line for a history event; empty for one that is no change of state."""
    kind, at = event["type"], event["timestamp"].strftime("%H:%M:%S")
    if "stateEnteredEventDetails" in event:
        return f"{at} {event['stateEnteredEventDetails']['name']} entered"
    if kind in {"TaskFailed", "TaskTimedOut", "TaskStartFailed", "TaskSubmitFailed"}:
        details = event[f"{kind[0].lower()}{kind[1:]}EventDetails"]
        return f"{at} {kind}: {details.get('error', '')}"
    return f"{at} {kind}" if kind.startswith("Execution") else ""
