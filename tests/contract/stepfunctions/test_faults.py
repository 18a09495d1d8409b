"""The retries of ``asl/batch_inference.asl.json``: it gets through throttling, errors and limits of SageMaker."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import IMAGE_URI, ROLE_ARN, BatchInference

FAST: dict[str, Any] = {"fault": "clock", "speed": 1_000_000}


@pytest.fixture
def one_stage(nine_keys: dict[str, Any]) -> dict[str, Any]:
    """An execution input with one stage: a scripted job leaves no output for the next."""
    return nine_keys | {"stages": ["preprocessing"]}


def errors(machine: BatchInference, arn: str) -> list[str]:
    """The errors of the failed tasks of an execution."""
    return [failure["error"] for failure in machine.failures(arn)]


@pytest.mark.parametrize("error", ["ThrottlingException", "SageMaker.AmazonSageMakerException"])
def test_throttled_creations(machine: BatchInference, one_stage: dict[str, Any], error: str) -> None:
    """Two jobs a second for the whole account: every execution succeeds, by either name of the error."""
    rates = {"sagemaker:CreateProcessingJob": {"bucket": 1, "refill_per_second": 2}}
    machine.inject({"fault": "throttling", "rates": rates, "step_functions_error": error}, {**FAST, "speed": 20})
    executions = [machine.end(machine.start(one_stage))]
    arns = [machine.start(one_stage) for _ in range(2)]
    executions += [machine.end(arn, within=60) for arn in arns]
    assert [execution["status"] for execution in executions] == ["SUCCEEDED"] * 3
    assert {name for execution in executions for name in errors(machine, execution["executionArn"])} == {error}


def test_an_error_of_sagemaker(machine: BatchInference, one_stage: dict[str, Any]) -> None:
    """A 500 of CreateProcessingJob fails the task; it is tried again."""
    machine.inject({"fault": "error", "operations": ["sagemaker:CreateProcessingJob"], "times": 2}, FAST)
    execution = machine.end(machine.start(one_stage))
    assert execution["status"] == "SUCCEEDED", execution
    assert errors(machine, execution["executionArn"]) == ["SageMaker.AmazonSageMakerException"] * 2


def test_an_instance_limit(machine: BatchInference, one_stage: dict[str, Any]) -> None:
    """SageMaker.ResourceLimitExceededException is retried until the other job has ended."""
    machine.inject({"fault": "instance-limit", "instance_type": "ml.m5.large", "maximum": 1}, {**FAST, "speed": 100})
    machine.sagemaker.create_processing_job(
        ProcessingJobName=machine.unique("holds-the-instance"),
        RoleArn=ROLE_ARN,
        AppSpecification={"ImageUri": IMAGE_URI, "ContainerEntrypoint": ["python", "script.py"]},
        ProcessingResources={"ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1}},
        Environment={"SECONDS": "1.5"},
    )
    execution = machine.end(machine.start(one_stage))
    assert execution["status"] == "SUCCEEDED", execution
    assert set(errors(machine, execution["executionArn"])) == {"SageMaker.ResourceLimitExceededException"}


def test_a_lack_of_capacity(machine: BatchInference, one_stage: dict[str, Any]) -> None:
    """The first three jobs fail; each time another is tried, after minutes that pass at once."""
    fault = {"fault": "job-failure", "reason": "CapacityError", "jobs": "sb-execution-*", "times": 3}
    machine.inject(fault, FAST)
    execution = machine.end(machine.start(one_stage))
    assert execution["status"] == "SUCCEEDED", execution
    failures = machine.failures(execution["executionArn"])
    assert [failure["error"] for failure in failures] == ["States.TaskFailed"] * 3
    assert all("CapacityError: Unable to provision" in failure["cause"] for failure in failures)
