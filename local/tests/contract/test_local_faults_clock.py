"""The fast clock: waiting passes at once, timeouts stay true, histories run forward."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.contract.faulty_local_aws import FaultyAws

AT_ONCE: dict[str, Any] = {"fault": "clock", "speed": 1_000_000}


@pytest.fixture(scope="module")
def shared_aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyAws]:
    aws = FaultyAws(tmp_path_factory.mktemp("faulty-local-aws"))
    yield aws
    aws.close()


@pytest.fixture
def aws(shared_aws: FaultyAws) -> Iterator[FaultyAws]:
    shared_aws.faults(AT_ONCE)
    yield shared_aws
    shared_aws.faults()


def wait(seconds: int, **more: Any) -> dict[str, Any]:
    return {"Type": "Wait", "Seconds": seconds, **({} if "Next" in more else {"End": True}), **more}


def in_order(aws: FaultyAws, arn: str) -> bool:
    """Whether no event of the history is earlier than the one before it, nor later than now."""
    times = [event["timestamp"] for event in aws.history(arn)]
    return times == sorted(times) and times[-1] <= datetime.now(UTC)


def test_a_wait_of_a_day_is_over_at_once(aws: FaultyAws) -> None:
    """And so is one until tomorrow; dates are the real ones, in order."""
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat().replace("+00:00", "Z")
    started = time.monotonic()
    execution = aws.run(
        {"Day": wait(86_400, Next="Tomorrow"), "Tomorrow": {"Type": "Wait", "Timestamp": tomorrow, "End": True}}
    )
    assert execution["status"] == "SUCCEEDED"
    assert time.monotonic() - started < 120
    assert execution["stopDate"] - execution["startDate"] < timedelta(seconds=120)
    assert in_order(aws, execution["executionArn"])


def test_the_delays_of_a_retry_pass_at_once(aws: FaultyAws) -> None:
    """An hour, doubled three times; every attempt is made."""
    name = "{% 'fails-' & $string($states.context.State.RetryCount) & '" + aws.unique("-r") + "' %}"
    retry = [{"ErrorEquals": ["States.TaskFailed"], "IntervalSeconds": 3600, "BackoffRate": 2, "MaxAttempts": 3}]
    started = time.monotonic()
    execution = aws.run({"Job": aws.task(name, {"EXIT_CODE": "1"}, Retry=retry)})
    assert time.monotonic() - started < 120
    assert execution["error"] == "States.TaskFailed"
    assert aws.event_types(execution["executionArn"]).count("TaskFailed") == 4
    assert in_order(aws, execution["executionArn"])


@pytest.mark.parametrize("attempt", range(3))
def test_timeouts_and_waits_come_in_their_order(aws: FaultyAws, attempt: int) -> None:
    """A TimeoutSeconds just short of the Wait fires, one just beyond it does not."""
    short = aws.run({"Wait": wait(3600)}, TimeoutSeconds=3600 - 1 - attempt)
    assert short["status"] == "TIMED_OUT"
    assert aws.run({"Wait": wait(3600)}, TimeoutSeconds=3600 + 60 + attempt)["status"] == "SUCCEEDED"


def test_the_timeout_of_a_task_counts_the_time_that_its_job_takes(aws: FaultyAws) -> None:
    """A job of a second, within timeouts of a minute: at a million times nothing times out falsely."""
    states = {
        "Before": wait(3600, Next="Job"),
        "Job": aws.task(aws.unique("real"), {"SECONDS": "1"}, TimeoutSeconds=60, Next="After"),
        "After": wait(3600),
    }
    execution = aws.run(states, TimeoutSeconds=7290)
    assert execution["status"] == "SUCCEEDED"
    assert in_order(aws, execution["executionArn"])
    elapsed = execution["stopDate"] - execution["startDate"]
    assert timedelta(seconds=1) <= elapsed < timedelta(seconds=120)


def test_a_task_that_takes_too_long_still_times_out(aws: FaultyAws) -> None:
    """After its real time, and its job is stopped."""
    name = aws.unique("hangs")
    execution = aws.run({"Job": aws.task(name, {"SECONDS": "60"}, TimeoutSeconds=4)})
    assert (execution["status"], execution["error"]) == ("FAILED", "States.Timeout")
    aws.until(lambda: aws.job_status(name), lambda status: status == "Stopped")


def test_a_job_ends_before_a_longer_wait_beside_it(aws: FaultyAws) -> None:
    """As on AWS: one second of a job is less than an hour of waiting, whatever the clock."""
    branches = [
        {"StartAt": "Job", "States": {"Job": aws.task(aws.unique("beside"), {"SECONDS": "1"})}},
        {"StartAt": "Hour", "States": {"Hour": wait(3600)}},
    ]
    execution = aws.run({"Both": {"Type": "Parallel", "Branches": branches, "End": True}})
    assert execution["status"] == "SUCCEEDED"
    exited = [
        event["stateExitedEventDetails"]["name"]
        for event in aws.history(execution["executionArn"])
        if "stateExitedEventDetails" in event
    ]
    assert exited == ["Job", "Hour", "Both"]
    assert in_order(aws, execution["executionArn"])


def test_waits_beside_each_other_count_once(aws: FaultyAws) -> None:
    """Three hours beside two are three, not five: a timeout of four does not fire; they end in their order."""
    branches = [{"StartAt": f"{hours}h", "States": {f"{hours}h": wait(hours * 3600)}} for hours in (3, 2, 1)]
    states = {"All": {"Type": "Parallel", "Branches": branches, "End": True}}
    execution = aws.run(states, TimeoutSeconds=4 * 3600)
    assert execution["status"] == "SUCCEEDED"
    exited = [
        event["stateExitedEventDetails"]["name"]
        for event in aws.history(execution["executionArn"])
        if "stateExitedEventDetails" in event
    ]
    assert exited == ["1h", "2h", "3h", "All"]


def test_the_iterations_of_a_map_wait_side_by_side(aws: FaultyAws) -> None:
    """Ten hours each, two at a time, five items: thirty hours, and not more."""
    processor = {"ProcessorConfig": {"Mode": "INLINE"}, "StartAt": "W", "States": {"W": wait(36_000)}}
    states = {
        "Each": {"Type": "Map", "Items": [1, 2, 3, 4, 5], "MaxConcurrency": 2, "ItemProcessor": processor, "End": True}
    }
    assert aws.run(states, TimeoutSeconds=31 * 3600)["status"] == "SUCCEEDED"


def test_a_clock_that_is_set_takes_effect_on_what_waits(aws: FaultyAws) -> None:
    """And one that is taken back: a Wait that began fast goes on in real time."""
    aws.faults()
    arn = aws.start(aws.machine({"Hour": wait(3600)}))
    aws.until(lambda: aws.event_types(arn), lambda types: "WaitStateEntered" in types)
    aws.faults(AT_ONCE)
    assert aws.end(arn, within=60)["status"] == "SUCCEEDED"
    aws.faults({**AT_ONCE, "speed": 2})
    arn = aws.start(aws.machine({"Hour": wait(3600)}))
    aws.until(lambda: aws.event_types(arn), lambda types: "WaitStateEntered" in types)
    aws.faults()
    assert aws.sfn.describe_execution(executionArn=arn)["status"] == "RUNNING"
    aws.sfn.stop_execution(executionArn=arn)
    assert aws.end(arn)["status"] == "ABORTED"


def test_with_jobs_the_timeout_of_a_hanging_task_passes_fast_too(aws: FaultyAws) -> None:
    """For tests of timeouts: ten minutes in a second or so."""
    aws.faults({"fault": "clock", "speed": 600, "jobs": True})
    name = aws.unique("hangs")
    started = time.monotonic()
    execution = aws.run({"Job": aws.task(name, {"SECONDS": "300"}, TimeoutSeconds=600)})
    assert (execution["status"], execution["error"]) == ("FAILED", "States.Timeout")
    assert time.monotonic() - started < 60
    assert in_order(aws, execution["executionArn"])


def test_the_maximum_runtime_of_jobs_is_real_unless_asked(aws: FaultyAws) -> None:
    """A job within its maximum runtime completes at any speed; with jobs it passes as fast."""
    name = aws.unique("within")
    limit = {"StoppingCondition": {"MaxRuntimeInSeconds": 30}}
    aws.sagemaker.create_processing_job(**aws.job(name, {"SECONDS": "0.5"}, **limit))
    assert aws.until(lambda: aws.job_status(name), lambda status: status != "InProgress") == "Completed"
    aws.faults({"fault": "clock", "speed": 60, "jobs": True})
    name = aws.unique("beyond")
    aws.sagemaker.create_processing_job(**aws.job(name, {"SECONDS": "20"}, **limit))
    assert aws.until(lambda: aws.job_status(name), lambda status: status == "Stopped", 10) == "Stopped"
