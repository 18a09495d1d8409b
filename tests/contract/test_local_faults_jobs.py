"""Limits, failures and slow starts of processing jobs, through boto3 and through state machines."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from stepbridge.core.execution_input import ExecutionInput
from tests.contract.faulty_local_aws import FaultyLab
from tests.contract.stepfunctions.conftest import IMAGE_URI, ROLE_ARN

DEFINITION = Path(__file__).parents[2] / "asl" / "batch_inference.asl.json"
FAST: dict[str, Any] = {"fault": "clock", "speed": 1_000_000}


@pytest.fixture(scope="module")
def shared_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyLab]:
    lab = FaultyLab(tmp_path_factory.mktemp("faulty-local-aws"))
    s3 = lab.client("s3")
    s3.create_bucket(Bucket="data")
    for key in ("input/a.txt", "code/preprocessing.py", "code/postprocessing.py"):
        s3.put_object(Bucket="data", Key=key, Body=b"x")
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


def batch_inference(lab: FaultyLab) -> str:
    """A machine of the repository's own definition."""
    return lab.create(DEFINITION.read_text())


def run_model(lab: FaultyLab, machine: str, name: str) -> dict[str, Any]:
    given = ExecutionInput(
        input_uri="s3://data/input/",
        output_uri=f"s3://data/output/{name}",
        code_uri="s3://data/code/",
        custom_image_uri=IMAGE_URI,
        scikit_image_uri=IMAGE_URI,
        role=ROLE_ARN,
        instance_type="ml.m5.large",
        volume_size=1,
        max_runtime=60,
        stages=("preprocessing",),  # a scripted job leaves no output for the next stage
    )
    return lab.end(lab.start(machine, json.loads(given.to_json()), name=name), within=40)


def failures(lab: FaultyLab, arn: str) -> list[str]:
    """The errors of the failed tasks of an execution."""
    return [event["taskFailedEventDetails"]["error"] for event in lab.history(arn) if event["type"] == "TaskFailed"]


# --- throttling inside of Step Functions ------------------------------------------------------------------------------
@pytest.mark.parametrize("error", ["ThrottlingException", "SageMaker.AmazonSageMakerException"])
def test_the_definition_outlasts_throttled_creations(lab: FaultyLab, error: str) -> None:
    """Two jobs a second for the whole account: every execution waits for its turns, by either name of the error."""
    machine = batch_inference(lab)
    rates = {"sagemaker:CreateProcessingJob": {"bucket": 1, "refill_per_second": 2}}
    lab.faults({"fault": "throttling", "rates": rates, "step_functions_error": error}, {**FAST, "speed": 20})
    names = [lab.unique(f"throttled-{error[:5].lower()}") for _ in range(3)]
    executions = [run_model(lab, machine, name) for name in names[:1]]
    arns = [lab.start(machine, json.loads(executions[0]["input"]), name=name) for name in names[1:]]
    executions += [lab.end(arn, within=60) for arn in arns]
    assert [execution["status"] for execution in executions] == ["SUCCEEDED"] * 3
    seen = [one for execution in executions for one in failures(lab, execution["executionArn"])]
    assert seen
    assert set(seen) == {error}


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


def test_an_error_of_sagemaker_inside_of_step_functions(lab: FaultyLab) -> None:
    """A 500 of CreateProcessingJob fails the task; the definition tries again and gets through."""
    machine = batch_inference(lab)
    lab.faults({"fault": "error", "operations": ["sagemaker:CreateProcessingJob"], "times": 2}, FAST)
    execution = run_model(lab, machine, "sagemaker-500")
    assert execution["status"] == "SUCCEEDED"
    assert failures(lab, execution["executionArn"]) == ["SageMaker.AmazonSageMakerException"] * 2


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


def test_a_state_machine_waits_for_an_instance(lab: FaultyLab) -> None:
    """SageMaker.ResourceLimitExceededException is retried by the definition until the other job has ended."""
    machine, other = batch_inference(lab), lab.unique("holds-the-instance")
    lab.faults({"fault": "instance-limit", "instance_type": "ml.m5.large", "maximum": 1}, {**FAST, "speed": 100})
    create(lab, other, SECONDS="1.5")
    execution = run_model(lab, machine, "waits-for-an-instance")
    assert execution["status"] == "SUCCEEDED"
    assert set(failures(lab, execution["executionArn"])) == {"SageMaker.ResourceLimitExceededException"}


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


def test_the_definition_outlasts_a_lack_of_capacity(lab: FaultyLab) -> None:
    """The first three jobs fail; each time another is tried, after minutes that pass at once."""
    machine = batch_inference(lab)
    lab.faults({"fault": "job-failure", "reason": "CapacityError", "jobs": "sb-no-capacity-*", "times": 3}, FAST)
    execution = run_model(lab, machine, "no-capacity")
    assert execution["status"] == "SUCCEEDED"
    causes = [
        event["taskFailedEventDetails"]
        for event in lab.history(execution["executionArn"])
        if event["type"] == "TaskFailed"
    ]
    assert [cause["error"] for cause in causes] == ["States.TaskFailed"] * 3
    assert all("CapacityError: Unable to provision" in cause["cause"] for cause in causes)


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
