"""Limits, failures and slow starts of processing jobs, through boto3 and through state machines."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.contract.faulty_local_aws import FaultyLab


@pytest.fixture(scope="module")
def shared_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyLab]:
    lab = FaultyLab(tmp_path_factory.mktemp("faulty-local-aws"))
    yield lab
    lab.close()


@pytest.fixture
def lab(shared_lab: FaultyLab) -> Iterator[FaultyLab]:
    shared_lab.faults()
    yield shared_lab
    shared_lab.faults()


def create(lab: FaultyLab, name: str, instance_type: str = "ml.m5.large", count: int = 1, **environment: str) -> None:
    cluster = {"InstanceCount": count, "InstanceType": instance_type, "VolumeSizeInGB": 1}
    job = lab.job(name, environment) | {"ProcessingResources": {"ClusterConfig": cluster}}
    lab.impatient("sagemaker").create_processing_job(**job)


def ended(lab: FaultyLab, name: str) -> dict[str, Any]:
    described: dict[str, Any] = lab.until(
        lambda: lab.sagemaker.describe_processing_job(ProcessingJobName=name),
        lambda found: found["ProcessingJobStatus"] not in ("InProgress", "Stopping"),
    )
    return described


# --- throttling inside of Step Functions ------------------------------------------------------------------------------
def test_a_throttled_creation_names_the_service_in_its_cause(lab: FaultyLab) -> None:
    """As Step Functions tells of an API error."""
    lab.faults(
        {"fault": "throttling", "rates": {"sagemaker:CreateProcessingJob": {"bucket": 1, "refill_per_second": 0.01}}}
    )
    assert lab.run({"Job": lab.task(lab.unique("first"))})["status"] == "SUCCEEDED"
    execution = lab.run({"Job": lab.task(lab.unique("second"))})
    assert (execution["status"], execution["error"]) == ("FAILED", "ThrottlingException")
    assert execution["cause"].startswith(
        "Rate exceeded (Service: AmazonSageMaker; Status Code: 400; Error Code: Throttl"
    )


# --- limits -----------------------------------------------------------------------------------------------------------
def test_instances_above_the_limit_are_refused_with_aws_text(lab: FaultyLab) -> None:
    """Of that type only, for as long as the others run; several instances of one job count as several."""
    lab.faults({"fault": "instance-limit", "instance_type": "ml.m5.large", "maximum": 2})
    first = lab.unique("limited")
    create(lab, first, SECONDS="30")
    with pytest.raises(ClientError) as caught:
        create(lab, lab.unique("limited"), count=2)
    assert caught.value.response["Error"] == {
        "Code": "ResourceLimitExceeded",
        "Message": "The account-level service limit 'ml.m5.large for processing job usage' is 2 Instances, with "
        "current utilization of 1 Instances and a request delta of 2 Instances. Please use AWS Service Quotas to "
        "request an increase for this quota. If AWS Service Quotas is not available, contact AWS support to request an "
        "increase for this quota.",
    }
    create(lab, lab.unique("limited"), "ml.m5.xlarge", 2)
    lab.sagemaker.stop_processing_job(ProcessingJobName=first)
    ended(lab, first)
    last = lab.unique("limited")
    create(lab, last, count=2)
    ended(lab, last)


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
def test_a_job_fails_for_sagemakers_own_reason(lab: FaultyLab, reason: str, text: str) -> None:
    """The next job of the pattern; it never started. The one after it, and other names, run."""
    lab.faults({"fault": "job-failure", "reason": reason, "jobs": "unlucky-*", "times": 1})
    names = lab.unique("lucky"), lab.unique("unlucky"), lab.unique("unlucky")
    for name in names:
        create(lab, name)
    lucky, unlucky, next_one = (ended(lab, name) for name in names)
    assert [lucky["ProcessingJobStatus"], next_one["ProcessingJobStatus"]] == ["Completed", "Completed"]
    assert (unlucky["ProcessingJobStatus"], unlucky["FailureReason"]) == ("Failed", text)
    assert "ProcessingStartTime" not in unlucky


# --- slow starts ------------------------------------------------------------------------------------------------------
def test_a_slow_start_keeps_a_job_in_progress_and_nobody_else(lab: FaultyLab) -> None:
    """It has no start time before; eight others take no place from each other; then it runs."""
    lab.faults({"fault": "slow-start", "seconds": 1.0, "jobs": "slow-*"})
    slow = [lab.unique("slow") for _ in range(9)]  # one more than may run at a time
    started = time.monotonic()
    for name in slow:
        create(lab, name)
    quick = lab.unique("quick")
    create(lab, quick)
    assert ended(lab, quick)["ProcessingJobStatus"] == "Completed"
    waiting = lab.sagemaker.describe_processing_job(ProcessingJobName=slow[0])
    assert waiting["ProcessingJobStatus"] == "InProgress"
    assert "ProcessingStartTime" not in waiting
    assert time.monotonic() - started < 1.0
    described = ended(lab, slow[0])
    assert described["ProcessingJobStatus"] == "Completed"
    assert (described["ProcessingStartTime"] - described["CreationTime"]).total_seconds() >= 1.0


def test_a_job_that_starts_slowly_is_stopped_at_once(lab: FaultyLab) -> None:
    """And its state machine's StopExecution reaches it too."""
    lab.faults({"fault": "slow-start", "seconds": 600})
    name, inside = lab.unique("slow"), lab.unique("slow")
    create(lab, name)
    lab.sagemaker.stop_processing_job(ProcessingJobName=name)
    assert lab.job_status(name) == "Stopped"
    arn = lab.start(lab.machine({"Job": lab.task(inside)}))
    lab.until(lambda: lab.job_exists(inside), bool)
    lab.sfn.stop_execution(executionArn=arn)
    lab.until(lambda: lab.job_status(inside), lambda status: status == "Stopped")
