"""What the sensor says while it waits and when it ends."""

from __future__ import annotations

import pickle
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

import pytest

from stepbridge.sensors.errors import ExecutionFailedError, WaitTimeoutError, WatchError
from stepbridge.triggers.state_changes import HISTORIES_PER_POLL, Turns, line_of


@pytest.mark.parametrize(
    ("event", "line"),
    [
        ({"type": "ExecutionStarted"}, "03:15:00 ExecutionStarted"),
        ({"type": "TaskStateEntered", "stateEnteredEventDetails": {"name": "Inference"}}, "03:15:00 Inference entered"),
        ({"type": "TaskStateExited", "stateExitedEventDetails": {"name": "Inference"}}, "03:15:00 Inference left"),
        ({"type": "WaitStateEntered", "stateEnteredEventDetails": {"name": "Back off"}}, "03:15:00 Back off entered"),
        ({"type": "ChoiceStateEntered", "stateEnteredEventDetails": {"name": "Inference?"}}, ""),
        ({"type": "TaskSubmitted", "taskSubmittedEventDetails": {}}, ""),
        ({"type": "TaskFailed", "taskFailedEventDetails": {"error": "States.TaskFailed"}},
         "03:15:00 TaskFailed: States.TaskFailed"),
        ({"type": "TaskTimedOut", "taskTimedOutEventDetails": {"error": "States.Timeout"}},
         "03:15:00 TaskTimedOut: States.Timeout"),
        ({"type": "ExecutionFailed"}, "03:15:00 ExecutionFailed"),
    ],
)  # fmt: skip
def test_a_line_for_each_change_of_state(event: dict[str, Any], line: str) -> None:
    """States that take time entered and left, failures and the execution's own events; nothing else."""
    assert line_of({"timestamp": datetime(2026, 1, 1, 3, 15, tzinfo=UTC), **event}) == line


def test_the_sensor_s_errors_survive_pickling() -> None:
    """Airflow pickles exceptions between processes."""
    for error in (
        ExecutionFailedError("arn", "FAILED", "a\nb"),
        WatchError("arn", "denied", "", ""),
        WaitTimeoutError("late"),
    ):
        copy = pickle.loads(pickle.dumps(error))
        assert (type(copy), str(copy), vars(copy)) == (type(error), str(error), vars(error))


def test_turns_go_round_and_are_bounded() -> None:
    """Everybody's changes are looked at in turn, a few per look however many wait; who has left takes none."""
    turns = Turns()
    with ExitStack() as stack:
        arns = [f"arn{number}" for number in range(2 * HISTORIES_PER_POLL)]
        for arn in arns:
            stack.enter_context(turns.taken_by(arn))
        first, second = turns.next(), turns.next()
        assert (len(first), len(second)) == (HISTORIES_PER_POLL, HISTORIES_PER_POLL)
        assert first | second == set(arns)
        assert turns.next() == first
        with turns.taken_by(arns[0]):
            pass
        assert arns[0] in turns.next() | turns.next()
    assert turns.next() == frozenset()
