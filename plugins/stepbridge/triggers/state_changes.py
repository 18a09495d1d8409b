"""A line per state that an execution enters, leaves or fails in, while somebody waits.

Nothing but GetExecutionHistory tells of a change, and its quota is small (20 a second and account, FACTS). So those
who wait in one triggerer take ``Turns``: the calls per look do not grow with the number of executions.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from stepbridge.aws.step_functions import StepFunctions

__all__ = ["HISTORIES_PER_POLL", "StateChanges", "Turns", "line_of", "turns_of"]

HISTORIES_PER_POLL: Final = 3
"""Looks are at least a second apart: at most 3 calls a second and triggerer, of 20."""

LATEST_EVENTS: Final = 100
"""How far back one look goes: what happened before it in between is left out."""


class StateChanges:
    """Hands out each change of the execution's state once. One GetExecutionHistory a call."""

    def __init__(self, client: StepFunctions, execution_arn: str) -> None:
        self._client = client
        self._execution_arn = execution_arn
        self._last_event = 0

    def new_lines(self) -> list[str]:
        """The changes since the last call, oldest first. Raises ``AwsError``."""
        events = self._client.latest_events(self._execution_arn, LATEST_EVENTS)
        fresh = [event for event in events if event["id"] > self._last_event]
        if not fresh:
            return []
        self._last_event = max(event["id"] for event in fresh)
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


class Turns:
    """Whose changes are looked at next: those whose turn is longest ago."""

    def __init__(self) -> None:
        self._waiting: dict[str, int] = {}  # how many wait for it; in the order of the turns

    @contextmanager
    def taken_by(self, execution_arn: str) -> Iterator[None]:
        """Take turns for the execution within the block."""
        self._waiting[execution_arn] = self._waiting.get(execution_arn, 0) + 1
        try:
            yield
        finally:
            self._waiting[execution_arn] -= 1
            if not self._waiting[execution_arn]:
                del self._waiting[execution_arn]

    def waits_for(self, execution_arn: str) -> bool:
        """Whether somebody in this process waits for the execution now. Any thread may ask."""
        return execution_arn in self._waiting

    def waited_for(self) -> frozenset[str]:
        """The executions that somebody in this process waits for now. Any thread may ask."""
        return frozenset(self._waiting.copy())  # a copy is made in one step, while others come and go

    def next(self) -> frozenset[str]:
        """The executions whose turn it is; they go to the end of the queue."""
        chosen = list(self._waiting)[:HISTORIES_PER_POLL]
        for arn in chosen:
            self._waiting[arn] = self._waiting.pop(arn)
        return frozenset(chosen)


_turns: Final[dict[Hashable, Turns]] = {}


def turns_of(stream_key: Hashable) -> Turns:
    """The turns of those who share a watcher in this process."""
    return _turns.setdefault(stream_key, Turns())
