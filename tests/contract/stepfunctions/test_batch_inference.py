"""``asl/batch_inference.asl.json`` as it is deployed, on the local AWS."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .conftest import BatchInference


def test_a_stage_runs_with_the_nine_keys(machine: BatchInference, nine_keys: dict[str, Any]) -> None:
    """One stage alone, and the job's name in the output."""
    execution = machine.end(machine.start(nine_keys | {"stages": ["preprocessing"]}))
    assert execution["status"] == "SUCCEEDED", execution
    output = json.loads(execution["output"])
    assert output["output_uri"] == nine_keys["output_uri"]
    job = machine.sagemaker.describe_processing_job(ProcessingJobName=output["jobs"]["preprocessing"])
    assert job["StoppingCondition"] == {"MaxRuntimeInSeconds": 600}


def test_all_problems_of_an_input_at_once(machine: BatchInference, nine_keys: dict[str, Any]) -> None:
    """No job is started for an input with problems."""
    execution = machine.end(machine.start(nine_keys | {"input_uri": "here", "volume_size": "big", "role": None}))
    assert (execution["status"], execution["error"]) == ("FAILED", "InvalidInput")
    for key in ("input_uri", "volume_size", "role"):
        assert key in execution["cause"]
    assert "TaskScheduled" not in machine.event_types(execution["executionArn"])


def test_a_failed_stage_is_redriven(machine: BatchInference, nine_keys: dict[str, Any], tmp_path: Path) -> None:
    """The execution fails with the job's word for it, and a redrive runs that stage again under another job name."""
    needed = tmp_path / "needed"
    given = nine_keys | {"stages": ["inference"], "environment": {"NEEDS": str(needed), "MESSAGE": "no model"}}
    arn = machine.start(given)
    failed = machine.end(arn)
    assert (failed["status"], failed["error"]) == ("FAILED", "AlgorithmError")
    cause = json.loads(failed["cause"])
    assert cause["ExitMessage"] == "no model"
    needed.touch()
    machine.sfn.redrive_execution(executionArn=arn)
    execution = machine.end(arn)
    assert execution["status"] == "SUCCEEDED", execution
    assert json.loads(execution["output"])["jobs"]["inference"] != cause["ProcessingJobName"]


def test_a_stopped_execution_stops_its_job_and_is_redriven(
    machine: BatchInference, nine_keys: dict[str, Any], tmp_path: Path
) -> None:
    """StopExecution reaches the job of the stage; the redrive starts it again."""
    gate = tmp_path / "gate"
    arn = machine.start(nine_keys | {"stages": ["inference"], "environment": {"GATE": str(gate)}})
    machine.until(lambda: machine.event_types(arn), lambda types: "TaskSubmitted" in types)
    submitted = next(event for event in machine.history(arn) if event["type"] == "TaskSubmitted")
    job_arn = json.loads(submitted["taskSubmittedEventDetails"]["output"])["ProcessingJobArn"]
    machine.sfn.stop_execution(executionArn=arn, error="Cleared")
    machine.until(lambda: machine.job_status(job_arn.rsplit("/", 1)[1]), lambda status: status == "Stopped", within=60)
    gate.touch()
    machine.sfn.redrive_execution(executionArn=arn)
    assert machine.end(arn)["status"] == "SUCCEEDED"
