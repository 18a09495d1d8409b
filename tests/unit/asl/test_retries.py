"""The state machine retries what ``core.failures`` says, as often and after as long."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from tests.unit.asl.definition_walk import StateError, Walk

from stepbridge.asl.validation import load_definition
from stepbridge.core.failures import BACK_OFF, EXECUTION_FAILURES, BackOff, ExecutionFailure, Retrier
from stepbridge.core.names import STAGES

SOURCE = Path(__file__).parents[3] / "asl" / "batch_inference.asl.json"
DEFINITION = load_definition(SOURCE.read_text(encoding="utf-8"), SOURCE.name)
STATES: dict[str, Any] = DEFINITION["States"]
TASKS = [state for state in STATES.values() if state["Type"] == "Task"]
GIVEN = {
    "input_uri": "s3://bucket/in/",
    "output_uri": "s3://bucket/out/",
    "custom_image_uri": "registry/models:flight_delay",
    "role": "arn:aws:iam::123456789012:role/processing",
    "stages": ["inference"],
}
JOB_FAILURES = ("AlgorithmError", "ClientError", "CapacityError", "InternalServerError")


def rows(machine: type) -> list[ExecutionFailure]:
    return [row for row in EXECUTION_FAILURES if isinstance(row.machine, machine)]


def test_each_stage_retries_in_place_what_the_table_says() -> None:
    """The errors, the delays and how often; nothing else is in a stage's Retry."""
    expected = {
        row.error: {
            "IntervalSeconds": row.machine.interval_seconds,
            "MaxDelaySeconds": row.machine.max_delay_seconds,
            "MaxAttempts": row.machine.max_attempts,
            "BackoffRate": 2,
            "JitterStrategy": "FULL",
        }
        for row in rows(Retrier)
        if isinstance(row.machine, Retrier)
    }
    assert len(TASKS) == len(STAGES)
    for task in TASKS:
        found = {
            error: {key: value for key, value in rule.items() if key not in ("Comment", "ErrorEquals")}
            for rule in task["Retry"]
            for error in rule["ErrorEquals"]
        }
        assert found == expected


def test_each_stage_hands_every_other_error_to_the_back_off() -> None:
    """One catcher for all errors."""
    for task in TASKS:
        assert [(rule["ErrorEquals"], rule["Next"]) for rule in task["Catch"]] == [(["States.ALL"], "Failed job")]


def test_the_back_off_takes_the_errors_and_texts_of_the_table() -> None:
    """The condition of "Try again?" names each of them, and no other."""
    (rule,) = STATES["Try again?"]["Choices"]
    form = (
        r"\{% \$attempts <= (\d+) and \(\$error in \[(.+)\] or "
        r"\(\$error = '(.+)' and \$contains\(\$cause, /(.+)/\)\)\) %\}"
    )
    condition = re.fullmatch(form, rule["Condition"])
    assert condition is not None
    attempts, listed, by_text, texts = condition.groups()
    assert int(attempts) == BACK_OFF.attempts
    backed_off = rows(BackOff)
    assert set(re.findall(r"'(\w+)'", listed)) == {row.error for row in backed_off if not row.text}
    assert {by_text} == {row.error for row in backed_off if row.text}
    assert sorted(texts.split("|")) == sorted(text for row in backed_off if row.text for text in row.text.split("|"))


def example(row: ExecutionFailure) -> tuple[str, str]:
    """What Step Functions hands to a Catch for the row: for a failed job the job's description is the cause."""
    text = {
        "Throttl|Rate exceeded": "Rate exceeded",
        "Status Code: 5|Unable to execute HTTP request": "Status Code: 500",
    }
    if row.error in JOB_FAILURES:
        return "States.TaskFailed", json.dumps({"FailureReason": f"{row.error}: {row.text}"}, separators=(",", ":"))
    if row.error == "JobStopped":
        return "States.TaskFailed", json.dumps({"ProcessingJobStatus": "Stopped"}, separators=(",", ":"))
    return row.error.replace("*", "SomeOtherException"), text.get(row.text, "x")


@pytest.mark.parametrize(
    "row",
    [row for row in EXECUTION_FAILURES if row.status == "FAILED" and row.error not in ("InvalidInput", "*")],
    ids=lambda row: f"{row.error} {row.text}".strip(),
)
def test_a_failure_is_tried_as_often_as_its_row_says(row: ExecutionFailure) -> None:
    """A stage that never succeeds: how many jobs it asked for, and how long it waited between them."""
    jobs: list[dict[str, Any]] = []

    def fail(request: dict[str, Any]) -> dict[str, Any]:
        jobs.append(request)
        raise StateError(*example(row))

    walk = Walk(DEFINITION, fail)
    with pytest.raises(StateError):
        walk.start(GIVEN)
    match row.machine:
        case Retrier(max_attempts=attempts):
            assert (len(jobs), walk.waits) == (attempts + 1, [])
        case BackOff(first_seconds=first, longest_seconds=longest, attempts=attempts):
            assert len(jobs) == attempts + 1
            for number, wait in enumerate(walk.waits):
                most = min(longest, first * 2**number)
                assert most / 2 <= wait <= most
        case _:
            assert (len(jobs), walk.waits) == (1, [])
