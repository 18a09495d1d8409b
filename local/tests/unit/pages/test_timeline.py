"""The states of an execution, read from its history."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from stepbridge_local.pages.timeline import chart, duration, read_history

START = datetime(2026, 1, 1, tzinfo=UTC)


def history(*events: tuple[int, str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Events, one a second: the id of the event before, the type, and the details."""
    return [
        {"id": number, "previousEventId": previous, "type": event_type, "timestamp": START + timedelta(seconds=number)}
        | details
        for number, (previous, event_type, details) in enumerate(events, start=1)
    ]


def entered(name: str) -> dict[str, Any]:
    return {"stateEnteredEventDetails": {"name": name}}


def requested(job: str) -> dict[str, Any]:
    parameters = json.dumps({"ProcessingJobName": job})
    resource = "createProcessingJob.sync"
    details = {"resourceType": "sagemaker", "resource": resource, "parameters": parameters}
    return {"taskScheduledEventDetails": details}


FAILED = {"taskFailedEventDetails": {"error": "States.TaskFailed", "cause": "exit 1"}}


def test_a_retried_task_has_one_visit_with_both_jobs() -> None:
    """The failure of the first attempt stays visible beside the success."""
    (visit,) = read_history(
        history(
            (0, "ExecutionStarted", {}),
            (0, "TaskStateEntered", entered("Inference")),
            (2, "TaskScheduled", requested("one-0")),
            (3, "TaskSubmitted", {}),
            (4, "TaskFailed", FAILED),
            (5, "TaskScheduled", requested("one-1")),
            (6, "TaskSubmitted", {}),
            (7, "TaskSucceeded", {}),
            (8, "TaskStateExited", {"stateExitedEventDetails": {"name": "Inference"}}),
            (9, "ExecutionSucceeded", {}),
        )
    )
    assert (visit.name, visit.type, visit.status) == ("Inference", "Task", "SUCCEEDED")
    assert (visit.attempts, visit.jobs) == (2, ["one-0", "one-1"])
    assert (visit.error, visit.cause) == ("States.TaskFailed", "exit 1")
    assert visit.ended_at == START + timedelta(seconds=9)


def test_a_request_that_sagemaker_refused_is_no_job() -> None:
    """TaskScheduled alone makes none; the state failed."""
    (visit,) = read_history(
        history(
            (0, "ExecutionStarted", {}),
            (0, "TaskStateEntered", entered("Inference")),
            (2, "TaskScheduled", requested("one")),
            (3, "TaskFailed", FAILED),
            (4, "ExecutionFailed", {}),
        )
    )
    assert (visit.jobs, visit.status) == ([], "FAILED")


def test_a_redrive_continues_the_visit() -> None:
    """The state runs again without a new entry."""
    (visit,) = read_history(
        history(
            (0, "ExecutionStarted", {}),
            (0, "TaskStateEntered", entered("Inference")),
            (2, "TaskScheduled", requested("one")),
            (3, "TaskFailed", FAILED),
            (4, "ExecutionFailed", {}),
            (5, "ExecutionRedriven", {}),
            (6, "TaskScheduled", requested("two")),
        )
    )
    assert (visit.status, visit.attempts, visit.ended_at) == ("RUNNING", 2, None)


def test_events_of_branches_belong_to_their_own_states() -> None:
    """Two branches of a Parallel state, with their events interleaved; one is aborted when the other fails."""
    visits = read_history(
        history(
            (0, "ExecutionStarted", {}),
            (0, "ParallelStateEntered", entered("Both")),
            (2, "ParallelStateStarted", {}),
            (3, "TaskStateEntered", entered("Left")),
            (3, "WaitStateEntered", entered("Right")),
            (4, "TaskScheduled", requested("left")),
            (6, "TaskFailed", FAILED),
            (7, "ExecutionFailed", {}),
        )
    )
    assert [(visit.name, visit.status, visit.attempts) for visit in visits] == [
        ("Both", "ABORTED", 0),
        ("Left", "FAILED", 1),
        ("Right", "ABORTED", 0),
    ]


def test_a_parallel_state_whose_branch_failed_has_failed() -> None:
    """By an event of its own; one that was retried and then exited has succeeded."""
    events = [
        (0, "ExecutionStarted", {}),
        (0, "ParallelStateEntered", entered("Give up")),
        (2, "ParallelStateStarted", {}),
        (3, "FailStateEntered", entered("Fail")),
        (4, "ParallelStateFailed", {}),
    ]
    failed = read_history(history(*events, (5, "ExecutionFailed", {})))
    assert [(visit.name, visit.status) for visit in failed] == [("Give up", "FAILED"), ("Fail", "FAILED")]
    retried = [(5, "ParallelStateStarted", {}), (2, "ParallelStateExited", {}), (7, "ExecutionSucceeded", {})]
    assert read_history(history(*events, *retried))[0].status == "SUCCEEDED"


def test_the_chart_shows_when_each_state_ran() -> None:
    """A bar for each visit, over the whole time of the execution."""
    visits = read_history(
        history(
            (0, "PassStateEntered", entered("First")),
            (1, "PassStateExited", {}),
            (2, "WaitStateEntered", entered("Second, longer")),
        )
    )
    first, second = chart(visits, START + timedelta(seconds=1), START + timedelta(seconds=5)).splitlines()
    assert first == "First           1.00 s  |██████████                              |  SUCCEEDED"
    assert second == "Second, longer  2.00 s  |                    ████████████████████|  RUNNING"
    assert chart([], START, START) == ""


def test_durations() -> None:
    """In the units that a person reads."""
    for seconds, text in ((0.421, "0.42 s"), (12.34, "12.3 s"), (245, "4 min 05 s"), (7500, "2 h 05 min")):
        assert duration(START, START + timedelta(seconds=seconds)) == text
    assert duration(START, None) == "-"
