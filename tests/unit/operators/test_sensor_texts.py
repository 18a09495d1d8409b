"""What the sensor says while it waits and when it ends."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime
from typing import Any

import pytest

from stepbridge.sensors.faults import ExecutionFailed, WaitTimedOut, WatchFailed
from stepbridge.sensors.state_changes import line_of


@pytest.mark.parametrize(
    ("event", "line"),
    [
        ({"type": "ExecutionStarted"}, "03:15:00 ExecutionStarted"),
        ({"type": "TaskStateEntered", "stateEnteredEventDetails": {"name": "Inference"}}, "03:15:00 Inference entered"),
        ({"type": "TaskStateExited", "stateExitedEventDetails": {"name": "Inference"}}, ""),
        ({"type": "TaskSubmitted", "taskSubmittedEventDetails": {}}, ""),
        ({"type": "TaskFailed", "taskFailedEventDetails": {"error": "States.TaskFailed"}},
         "03:15:00 TaskFailed: States.TaskFailed"),
        ({"type": "TaskTimedOut", "taskTimedOutEventDetails": {"error": "States.Timeout"}},
         "03:15:00 TaskTimedOut: States.Timeout"),
        ({"type": "ExecutionFailed"}, "03:15:00 ExecutionFailed"),
    ],
)  # fmt: skip
def test_a_line_for_each_change_of_state(event: dict[str, Any], line: str) -> None:
    """States entered, failures and the execution's own events; nothing else."""
    assert line_of({"timestamp": datetime(2026, 1, 1, 3, 15, tzinfo=UTC), **event}) == line


def test_the_sensor_s_errors_survive_pickling() -> None:
    """Airflow pickles exceptions between processes."""
    for error in (ExecutionFailed("arn", "FAILED", "a\nb"), WatchFailed("arn", "denied", "", ""), WaitTimedOut("late")):
        copy = pickle.loads(pickle.dumps(error))
        assert (type(copy), str(copy), vars(copy)) == (type(error), str(error), vars(error))
