"""``asl/batch_inference.asl.json`` as it is deployed, on the local AWS."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from .conftest import IMAGE_URI, ROLE_ARN, Lab

SOURCE = Path(__file__).parents[3] / "asl" / "batch_inference.asl.json"


@pytest.fixture(scope="module")
def machine(lab: Lab) -> str:
    return lab.create(SOURCE.read_text(encoding="utf-8"))


@pytest.fixture
def nine_keys(lab: Lab) -> dict[str, Any]:
    """The documented execution input, with objects where its URIs point."""
    s3, bucket = lab.client("s3"), lab.unique("batch-inference")
    s3.create_bucket(Bucket=bucket)
    for key in ("in/day.csv", "code/preprocessing.py", "code/postprocessing.py"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    return {
        "input_uri": f"s3://{bucket}/in/",
        "output_uri": f"s3://{bucket}/out/",
        "code_uri": f"s3://{bucket}/code/",
        "custom_image_uri": IMAGE_URI,
        "scikit_image_uri": IMAGE_URI,
        "role": ROLE_ARN,
        "instance_type": "ml.m5.large",
        "volume_size": 30,
        "max_runtime": 600,
    }


def test_a_stage_runs_with_the_nine_keys(lab: Lab, machine: str, nine_keys: dict[str, Any]) -> None:
    """One stage alone, and the job's name in the output."""
    execution = lab.end(lab.start(machine, nine_keys | {"stages": ["preprocessing"]}))
    assert execution["status"] == "SUCCEEDED", execution
    output = json.loads(execution["output"])
    assert output["output_uri"] == nine_keys["output_uri"]
    job = lab.sagemaker.describe_processing_job(ProcessingJobName=output["jobs"]["preprocessing"])
    assert job["StoppingCondition"] == {"MaxRuntimeInSeconds": 600}


def test_all_problems_of_an_input_at_once(lab: Lab, machine: str, nine_keys: dict[str, Any]) -> None:
    """No job is started for an input with problems."""
    execution = lab.end(lab.start(machine, nine_keys | {"input_uri": "here", "volume_size": "big", "role": None}))
    assert (execution["status"], execution["error"]) == ("FAILED", "InvalidInput")
    for key in ("input_uri", "volume_size", "role"):
        assert key in execution["cause"]
    assert "TaskScheduled" not in lab.event_types(execution["executionArn"])


def test_a_failed_stage_is_redriven(lab: Lab, machine: str, nine_keys: dict[str, Any], tmp_path: Path) -> None:
    """The execution fails with the job's word for it, and a redrive runs that stage again under another job name."""
    needed = tmp_path / "needed"
    given = nine_keys | {"stages": ["inference"], "environment": {"NEEDS": str(needed), "MESSAGE": "no model"}}
    arn = lab.start(machine, given)
    failed = lab.end(arn)
    assert (failed["status"], failed["error"]) == ("FAILED", "AlgorithmError")
    cause = json.loads(failed["cause"])
    assert cause["ExitMessage"] == "no model"
    needed.touch()
    lab.sfn.redrive_execution(executionArn=arn)
    execution = lab.end(arn)
    assert execution["status"] == "SUCCEEDED", execution
    assert json.loads(execution["output"])["jobs"]["inference"] != cause["ProcessingJobName"]


def test_a_stopped_execution_stops_its_job_and_is_redriven(
    lab: Lab, machine: str, nine_keys: dict[str, Any], tmp_path: Path
) -> None:
    """StopExecution reaches the job of the stage; the redrive starts it again."""
    gate = tmp_path / "gate"
    arn = lab.start(machine, nine_keys | {"stages": ["inference"], "environment": {"GATE": str(gate)}})
    lab.until(lambda: lab.event_types(arn), lambda types: "TaskSubmitted" in types)
    submitted = next(event for event in lab.history(arn) if event["type"] == "TaskSubmitted")
    job_arn = json.loads(submitted["taskSubmittedEventDetails"]["output"])["ProcessingJobArn"]
    lab.sfn.stop_execution(executionArn=arn, error="Cleared")
    lab.until(lambda: lab.job_status(job_arn.rsplit("/", 1)[1]), lambda status: status == "Stopped", within=5)
    gate.touch()
    lab.sfn.redrive_execution(executionArn=arn)
    assert lab.end(arn)["status"] == "SUCCEEDED"
