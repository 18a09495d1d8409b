"""Limits, failures and slow starts of processing jobs, through boto3 and through state machines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.contract.faulty_local_aws import FaultyAws


@pytest.fixture(scope="module")
def shared_aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyAws]:
    aws = FaultyAws(tmp_path_factory.mktemp("faulty-local-aws"))
    yield aws
    aws.close()


@pytest.fixture
def aws(shared_aws: FaultyAws) -> Iterator[FaultyAws]:
    shared_aws.faults()
    yield shared_aws
    shared_aws.faults()


def create(aws: FaultyAws, name: str, instance_type: str = "ml.m5.large", count: int = 1, **environment: str) -> None:
    cluster = {"InstanceCount": count, "InstanceType": instance_type, "VolumeSizeInGB": 1}
    job = aws.job(name, environment) | {"ProcessingResources": {"ClusterConfig": cluster}}
    aws.impatient("sagemaker").create_processing_job(**job)


def ended(aws: FaultyAws, name: str) -> dict[str, Any]:
    described: dict[str, Any] = aws.until(
        lambda: aws.sagemaker.describe_processing_job(ProcessingJobName=name),
        lambda found: found["ProcessingJobStatus"] not in ("InProgress", "Stopping"),
    )
    return described


# --- throttling inside of Step Functions ------------------------------------------------------------------------------
def test_a_throttled_creation_names_the_service_in_its_cause(aws: FaultyAws) -> None:
    """As Step Functions tells of an API error."""
    aws.faults(
        {"fault": "throttling", "rates": {"sagemaker:CreateProcessingJob": {"bucket": 1, "refill_per_second": 0.01}}}
    )
    assert aws.run({"Job": aws.task(aws.unique("first"))})["status"] == "SUCCEEDED"
    execution = aws.run({"Job": aws.task(aws.unique("second"))})
    assert (execution["status"], execution["error"]) == ("FAILED", "ThrottlingException")
    assert execution["cause"].startswith(
        "Rate exceeded (Service: AmazonSageMaker; Status Code: 400; Error Code: Throttl"
    )


# --- limits -----------------------------------------------------------------------------------------------------------
def test_instances_above_the_limit_are_refused_with_aws_text(aws: FaultyAws) -> None:
    """Of that type only, for as long as the others run; several instances of one job count as several."""
    aws.faults({"fault": "instance-limit", "instance_type": "ml.m5.large", "maximum": 2})
    first = aws.unique("limited")
    create(aws, first, SECONDS="30")
    with pytest.raises(ClientError) as caught:
        create(aws, aws.unique("limited"), count=2)
    assert caught.value.response["Error"] == {
        "Code": "ResourceLimitExceeded",
        "Message": "The account-level service limit 'ml.m5.large for processing job usage' is 2 Instances, with "
        "current utilization of 1 Instances and a request delta of 2 Instances. Please use AWS Service Quotas to "
        "request an increase for this quota. If AWS Service Quotas is not available, contact AWS support to request an "
        "increase for this quota.",
    }
    create(aws, aws.unique("limited"), "ml.m5.xlarge", 2)
    aws.sagemaker.stop_processing_job(ProcessingJobName=first)
    ended(aws, first)
    last = aws.unique("limited")
    create(aws, last, count=2)
    ended(aws, last)


# --- failures ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("reason", "text"),
    [
        (
            "CapacityError",
            "CapacityError: Unable to provision requested ML compute capacity. "
            "Please retry using a different ML instance type.",
        ),
        ("InternalServerError", "InternalServerError: We encountered an internal error. Please try again."),
    ],
)
def test_a_job_fails_for_sagemakers_own_reason(aws: FaultyAws, reason: str, text: str) -> None:
    """The next job of the pattern; it never started. The one after it, and other names, run."""
    aws.faults({"fault": "job-failure", "reason": reason, "jobs": "unlucky-*", "times": 1})
    names = aws.unique("lucky"), aws.unique("unlucky"), aws.unique("unlucky")
    for name in names:
        create(aws, name)
    lucky, unlucky, next_one = (ended(aws, name) for name in names)
    assert [lucky["ProcessingJobStatus"], next_one["ProcessingJobStatus"]] == ["Completed", "Completed"]
    assert (unlucky["ProcessingJobStatus"], unlucky["FailureReason"]) == ("Failed", text)
    assert "ProcessingStartTime" not in unlucky


# --- slow starts ------------------------------------------------------------------------------------------------------
def test_a_slow_start_keeps_a_job_in_progress_and_nobody_else(aws: FaultyAws) -> None:
    """It has no start time before; nine of them take no place from another job."""
    aws.faults({"fault": "slow-start", "seconds": 600, "jobs": "slow-*"})
    slow = [aws.unique("slow") for _ in range(9)]  # one more than may run at a time
    for name in slow:
        create(aws, name)
    quick = aws.unique("quick")
    create(aws, quick)
    assert ended(aws, quick)["ProcessingJobStatus"] == "Completed"
    for name in slow:
        waiting = aws.sagemaker.describe_processing_job(ProcessingJobName=name)
        assert waiting["ProcessingJobStatus"] == "InProgress"
        assert "ProcessingStartTime" not in waiting
        aws.sagemaker.stop_processing_job(ProcessingJobName=name)


def test_a_slow_start_delays_the_start_by_its_seconds(aws: FaultyAws) -> None:
    """Then the job runs like any other."""
    aws.faults({"fault": "slow-start", "seconds": 1.0})
    name = aws.unique("slow")
    create(aws, name)
    described = ended(aws, name)
    assert described["ProcessingJobStatus"] == "Completed"
    assert (described["ProcessingStartTime"] - described["CreationTime"]).total_seconds() >= 1.0


def test_a_job_that_starts_slowly_is_stopped_at_once(aws: FaultyAws) -> None:
    """And its state machine's StopExecution reaches it too."""
    aws.faults({"fault": "slow-start", "seconds": 600})
    name, inside = aws.unique("slow"), aws.unique("slow")
    create(aws, name)
    aws.sagemaker.stop_processing_job(ProcessingJobName=name)
    assert aws.job_status(name) == "Stopped"
    arn = aws.start(aws.machine({"Job": aws.task(inside)}))
    aws.until(lambda: aws.job_exists(inside), bool)
    aws.sfn.stop_execution(executionArn=arn)
    aws.until(lambda: aws.job_status(inside), lambda status: status == "Stopped")
