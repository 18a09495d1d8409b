"""What the log of a failed task ends with about its next try."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from stepbridge.core.run_report.failure_text import ExecutionFailedError
from stepbridge.errors import BrokenImageError, EndpointUnreachableError, ImageBuildError, QuotaExceededError
from stepbridge.listeners.last_words import log_last_words, next_try
from stepbridge.operators.retry_policy import ModelRetryPolicy
from stepbridge.sensors.errors import EmptyOutputError


class Log:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def write(self, text: str, *values: object) -> None:
        self.lines.append(text % values)

    info = error = write


def instance(tries: int, most: int, **more: Any) -> Any:
    """A task instance with a model's retries, as the task runner has it when it calls the listeners."""
    task = {
        "log": Log(),
        "retry_policy": ModelRetryPolicy(),
        "retry_delay": timedelta(minutes=1),
        "retry_exponential_backoff": 2.0,
        "max_retry_delay": timedelta(minutes=30),
        **more,
    }
    state = "up_for_retry" if tries <= most else "failed"
    return SimpleNamespace(task=SimpleNamespace(**task), try_number=tries, max_tries=most, state=state)


CAPACITY = ExecutionFailedError("arn", "FAILED", "no capacity", "CapacityError")
NETWORK = EndpointUnreachableError("states:StartExecution on x", "no answer")


@pytest.mark.parametrize(
    ("tries", "most", "error", "text"),
    [
        (1, 3, CAPACITY, "  tried again by Airflow in 15 minutes (try 2 of 4)"),
        (2, 3, QuotaExceededError("a", "b"), "  tried again by Airflow in 15 minutes (try 3 of 4)"),
        (1, 3, NETWORK, "  tried again by Airflow in 1 minute (try 2 of 4)"),
        (3, 3, NETWORK, "  tried again by Airflow in 4 minutes (try 4 of 4)"),
        (9, 9, NETWORK, "  tried again by Airflow in 30 minutes (try 10 of 10)"),
        (4, 3, NETWORK, "  not tried again by Airflow: that was its last try"),
        (1, 0, NETWORK, "  not tried again by Airflow"),
    ],
)
def test_when_it_is_tried_again(tries: int, most: int, error: BaseException, text: str) -> None:
    """By the policy, else by the task's own delays."""
    assert next_try(instance(tries, most), error) == text


@pytest.mark.parametrize(
    "error", [BrokenImageError("image build x", "it failed"), ExecutionFailedError("a", "FAILED", "", "AlgorithmError")]
)
def test_why_it_is_not(error: BaseException) -> None:
    """Failures that would repeat are not retried, and the log gives the reason."""
    failed = instance(1, 3)
    failed.state = "failed"
    assert next_try(failed, error).startswith(
        f"  not tried again by Airflow: {getattr(error, 'error', 'BrokenImageError')}: "
    )


def test_a_task_without_the_policy() -> None:
    """Of a DAG written by hand: Airflow's own delays."""
    plain = instance(2, 3, retry_policy=None, retry_exponential_backoff=0, max_retry_delay=None)
    plain.task.retry_delay = timedelta(seconds=90)
    assert next_try(plain, CAPACITY) == "  tried again by Airflow in 1 min 30 s (try 3 of 4)"


def test_only_errors_of_stepbridge_are_summarised() -> None:
    """The short text, outside of the group that the UI folds."""
    error = ImageBuildError("image build x", "it failed", "", "mend it")
    error.log_lines = ("one", "two")
    ended = instance(1, 3)
    log_last_words(ended, error)
    assert ended.task.log.lines == [
        "::endgroup::",
        "image build x: it failed\n  what to do: mend it\n  tried again by Airflow in 1 minute (try 2 of 4)",
    ]
    empty = EmptyOutputError("execution x", "it wrote nothing", "at least one object")
    empty.details = (
        "  output folder: /o",
        "  last 1 log line of j:",
        "    | done",
        "  job log: http://l",
        "  what to do: y",
    )
    ended = instance(1, 3)
    log_last_words(ended, empty)
    assert ended.task.log.lines[1].splitlines()[:-1] == [
        "execution x: it wrote nothing; expected at least one object",
        "  output folder: /o",
        "  job log: http://l",
        "  what to do: y",
    ]
    other = instance(1, 3)
    log_last_words(other, ValueError("x"))
    log_last_words(other, "text")
    assert other.task.log.lines == []
