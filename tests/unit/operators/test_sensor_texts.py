"""What the sensor says while it waits and when it ends."""

from __future__ import annotations

import pickle
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

import pytest

from stepbridge.core.run_report.failure_text import ExecutionFailedError
from stepbridge.sensors.errors import WaitTimeoutError, WatchError
from stepbridge.triggers.state_changes import line_of
from stepbridge.triggers.subscribers import HISTORIES_PER_POLL, Subscribers


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
        ({"type": "TaskFailed", "taskFailedEventDetails": {
            "error": "States.TaskFailed",
            "cause": '{"ProcessingJobStatus": "Failed", "FailureReason": "CapacityError: no instance is free"}'}},
         "03:15:00 TaskFailed: CapacityError: no instance is free"),
        ({"type": "TaskFailed", "taskFailedEventDetails": {
            "error": "States.TaskFailed", "cause": '{"ProcessingJobStatus": "Stopped"}'}},
         "03:15:00 TaskFailed: Stopped"),
        ({"type": "TaskSubmitFailed", "taskSubmitFailedEventDetails": {
            "error": "SageMaker.ResourceLimitExceededException", "cause": "the limit is 4"}},
         "03:15:00 TaskSubmitFailed: SageMaker.ResourceLimitExceededException: the limit is 4"),
        ({"type": "ExecutionFailed", "executionFailedEventDetails": {"error": "CapacityError", "cause": ""}},
         "03:15:00 ExecutionFailed: CapacityError"),
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


def test_histories_are_read_in_turn() -> None:
    """A few per poll, however many triggers wait; an execution that no trigger waits for has no turn."""
    subscribers = Subscribers()
    with ExitStack() as stack:
        arns = [f"arn{number}" for number in range(2 * HISTORIES_PER_POLL)]
        for arn in arns:
            stack.enter_context(subscribers.subscribed(arn))
        first, second = subscribers.next_histories(), subscribers.next_histories()
        assert (len(first), len(second)) == (HISTORIES_PER_POLL, HISTORIES_PER_POLL)
        assert first | second == set(arns)
        assert subscribers.next_histories() == first
        with subscribers.subscribed(arns[0]):
            pass
        assert arns[0] in subscribers.next_histories() | subscribers.next_histories()
    assert subscribers.next_histories() == frozenset()
