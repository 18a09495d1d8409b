"""``sagemaker:createProcessingJob`` and ``.sync`` as tasks."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import botocore.exceptions
import pytest

from .conftest import ScriptedAws


def test_sync_gives_the_description_of_the_job(aws: ScriptedAws) -> None:
    """The result of ``.sync`` is the job's description, with times in milliseconds."""
    name = aws.unique("described")
    result = aws.output({"Run": aws.task(name, {"MESSAGE": "all is well"})})
    assert result["ProcessingJobName"] == name
    assert result["ProcessingJobStatus"] == "Completed"
    assert result["ExitMessage"] == "all is well"
    assert result["ProcessingJobArn"].endswith(f":processing-job/{name}")
    assert abs(result["ProcessingEndTime"] / 1000 - time.time()) < 60
    assert isinstance(result["ProcessingEndTime"], int)


def test_sync_has_the_events_of_aws(aws: ScriptedAws) -> None:
    """A ``.sync`` task is scheduled, started, submitted and succeeds, as resource createProcessingJob.sync."""
    execution = aws.run({"Run": aws.task(aws.unique("events"), TimeoutSeconds=60)})
    events = {event["type"]: event for event in aws.history(execution["executionArn"])}
    assert list(events) == [
        "ExecutionStarted",
        "TaskStateEntered",
        "TaskScheduled",
        "TaskStarted",
        "TaskSubmitted",
        "TaskSucceeded",
        "TaskStateExited",
        "ExecutionSucceeded",
    ]
    for kind in ("Scheduled", "Started", "Submitted", "Succeeded"):
        details = events[f"Task{kind}"][f"task{kind}EventDetails"]
        assert (details["resourceType"], details["resource"]) == ("sagemaker", "createProcessingJob.sync")
    scheduled = events["TaskScheduled"]["taskScheduledEventDetails"]
    assert (scheduled["region"], scheduled["timeoutInSeconds"]) == ("us-east-1", 60)
    submitted = json.loads(events["TaskSubmitted"]["taskSubmittedEventDetails"]["output"])
    assert submitted["ProcessingJobArn"].startswith("arn:aws:sagemaker:us-east-1:123456789012:processing-job/")
    assert submitted["SdkHttpMetadata"]["HttpStatusCode"] == 200


def test_sync_tags_the_job_as_managed(aws: ScriptedAws) -> None:
    """A job started by ``.sync`` carries the tag of Step Functions beside its own."""
    name = aws.unique("tagged")
    task = aws.task(name)
    task["Arguments"]["Tags"] = [{"Key": "model", "Value": "m"}]
    result = aws.output({"Run": task})
    tags = aws.sagemaker.list_tags(ResourceArn=result["ProcessingJobArn"])["Tags"]
    assert tags == [
        {"Key": "model", "Value": "m"},
        {"Key": "MANAGED_BY_AWS", "Value": "STARTED_BY_STEP_FUNCTIONS"},
    ]


def test_without_sync_the_state_ends_when_the_job_is_created(aws: ScriptedAws, tmp_path: Path) -> None:
    """Request-response does not wait for the job."""
    name, gate = aws.unique("response"), tmp_path / "gate"
    task = aws.task(name, {"GATE": str(gate)}, Resource="arn:aws:states:::sagemaker:createProcessingJob")
    result = aws.output({"Run": task})
    assert result["ProcessingJobArn"].endswith(name)
    assert aws.job_status(name) == "InProgress"
    gate.touch()
    aws.until(lambda: aws.job_status(name), lambda status: status == "Completed")


def test_a_failed_job_fails_the_state_with_its_description(aws: ScriptedAws) -> None:
    """The error is States.TaskFailed and its cause the description of the job as JSON."""
    execution = aws.run({"Run": aws.task(aws.unique("failing"), {"EXIT_CODE": "3", "MESSAGE": "no such column"})})
    assert (execution["status"], execution["error"]) == ("FAILED", "States.TaskFailed")
    cause = json.loads(execution["cause"])
    assert cause["ProcessingJobStatus"] == "Failed"
    assert cause["ExitMessage"] == "no such column"
    assert cause["FailureReason"].startswith("AlgorithmError:")
    failed = next(event for event in aws.history(execution["executionArn"]) if event["type"] == "TaskFailed")
    assert failed["taskFailedEventDetails"]["resource"] == "createProcessingJob.sync"
    assert failed["taskFailedEventDetails"]["error"] == "States.TaskFailed"


def test_a_stopped_job_fails_the_state(aws: ScriptedAws) -> None:
    """Stopped is no success."""
    name = aws.unique("stopped")
    arn = aws.start(aws.machine({"Run": aws.task(name, {"SECONDS": "30"})}))
    aws.until(lambda: aws.job_exists(name), bool)
    aws.sagemaker.stop_processing_job(ProcessingJobName=name)
    execution = aws.end(arn)
    assert (execution["status"], execution["error"]) == ("FAILED", "States.TaskFailed")
    assert json.loads(execution["cause"])["ProcessingJobStatus"] == "Stopped"


@pytest.mark.load_dependent
def test_completion_is_noticed_at_once(aws: ScriptedAws, tmp_path: Path) -> None:
    """``.sync`` goes on within 0.2 s of the end of the job."""
    name, gate = aws.unique("noticed"), tmp_path / "gate"
    arn = aws.start(aws.machine({"Run": aws.task(name, {"GATE": str(gate)})}))
    aws.until(lambda: aws.job_exists(name), bool)
    gate.touch()
    execution = aws.end(arn)
    job = aws.sagemaker.describe_processing_job(ProcessingJobName=name)
    assert (execution["stopDate"] - job["ProcessingEndTime"]).total_seconds() < 0.2


API_ERRORS = [
    ("taken", {}, "SageMaker.ResourceInUseException", "Error Code: ResourceInUse;"),
    ("bad_name", {}, "SageMaker.AmazonSageMakerException", "Error Code: ValidationException;"),
]


@pytest.mark.parametrize(("name", "more", "error", "cause"), API_ERRORS, ids=[row[0] for row in API_ERRORS])
def test_api_errors_have_the_names_of_the_integration(
    aws: ScriptedAws, name: str, more: dict[str, Any], error: str, cause: str
) -> None:
    """Modelled errors of SageMaker keep their name; all others are SageMaker.AmazonSageMakerException."""
    if name == "taken" and not aws.job_exists(name):
        aws.output({"Run": aws.task(name)})
    execution = aws.run({"Run": aws.task(name) | more})
    assert (execution["status"], execution["error"]) == ("FAILED", error)
    assert "(Service: AmazonSageMaker; Status Code: 400; " in execution["cause"]
    assert cause in execution["cause"]


def test_arguments_of_a_wrong_type_are_refused_before_the_call(aws: ScriptedAws) -> None:
    """A text where a number belongs is States.Runtime, naming the field; no job is made."""
    name = aws.unique("typed")
    task = aws.task(name)
    task["Arguments"]["ProcessingResources"]["ClusterConfig"]["VolumeSizeInGB"] = "{% '30' %}"
    task["Arguments"]["Surprise"] = 1
    execution = aws.run({"Run": task})
    assert (execution["status"], execution["error"]) == ("FAILED", "States.Runtime")
    assert "VolumeSizeInGB" in execution["cause"]
    assert "'Surprise' is not supported by Step Functions" in execution["cause"]
    assert not aws.job_exists(name)


def test_a_number_computed_as_30_0_is_30(aws: ScriptedAws) -> None:
    """Arithmetic in JSONata does not turn whole numbers into floats on the way to the API."""
    task = aws.task(aws.unique("whole"))
    task["Arguments"]["ProcessingResources"]["ClusterConfig"]["VolumeSizeInGB"] = "{% $states.input.gb / 2 %}"
    result = aws.output({"Run": task}, {"gb": 60})
    assert result["ProcessingResources"]["ClusterConfig"]["VolumeSizeInGB"] == 30


@pytest.mark.parametrize(
    "resource",
    [
        "arn:aws:states:::sagemaker:createTrainingJob.sync",
        "arn:aws:states:::sagemaker:createProcessingJob.waitForTaskToken",
        "arn:aws:states:::athena:startQueryExecution",
    ],
)
def test_what_cannot_run_is_refused_when_the_machine_is_created(aws: ScriptedAws, resource: str) -> None:
    """A resource that the local AWS cannot run is InvalidDefinition, never a silent pass."""
    with pytest.raises(botocore.exceptions.ClientError, match="InvalidDefinition"):
        aws.machine({"Run": aws.task("never") | {"Resource": resource}})


def test_express_machines_cannot_wait_for_a_job(aws: ScriptedAws) -> None:
    """Express workflows have no ``.sync``."""
    definition = {"QueryLanguage": "JSONata", "StartAt": "Run", "States": {"Run": aws.task("never")}}
    with pytest.raises(botocore.exceptions.ClientError, match="Express state machine does not support"):
        aws.create(json.dumps(definition), type="EXPRESS")


# --- ending early stops the job ---------------------------------------------------------------------------------------
def test_stop_execution_stops_the_job(aws: ScriptedAws) -> None:
    """StopExecution ends the execution at once and stops its job."""
    name = aws.unique("stop")
    arn = aws.start(aws.machine({"Run": aws.task(name, {"SECONDS": "300"})}))
    aws.until(lambda: aws.job_exists(name), bool)
    aws.sfn.stop_execution(executionArn=arn, error="Cleared", cause="by the user")
    execution = aws.sfn.describe_execution(executionArn=arn)
    assert (execution["status"], execution["error"], execution["cause"]) == ("ABORTED", "Cleared", "by the user")
    aws.until(lambda: aws.job_status(name), lambda status: status == "Stopped", within=60)
    assert aws.event_types(arn)[-2:] == ["TaskStateAborted", "ExecutionAborted"]


def test_a_state_timeout_stops_the_job(aws: ScriptedAws) -> None:
    """TimeoutSeconds of the state is States.Timeout, and the job does not go on."""
    name = aws.unique("timeout")
    execution = aws.run({"Run": aws.task(name, {"SECONDS": "60"}, TimeoutSeconds="{% 4 %}")})
    assert (execution["status"], execution["error"]) == ("FAILED", "States.Timeout")
    assert "TaskTimedOut" in aws.event_types(execution["executionArn"])
    aws.until(lambda: aws.job_status(name), lambda status: status == "Stopped", within=60)


def test_a_timeout_of_the_machine_stops_the_job(aws: ScriptedAws) -> None:
    """TimeoutSeconds of the machine is TIMED_OUT, and the job does not go on."""
    name = aws.unique("machine-timeout")
    execution = aws.run({"Run": aws.task(name, {"SECONDS": "60"})}, TimeoutSeconds=4)
    assert execution["status"] == "TIMED_OUT"
    assert execution["stopDate"] >= execution["startDate"]
    assert aws.event_types(execution["executionArn"])[-1] == "ExecutionTimedOut"
    aws.until(lambda: aws.job_status(name), lambda status: status == "Stopped", within=60)


def test_a_failing_branch_stops_the_jobs_of_its_siblings(aws: ScriptedAws) -> None:
    """In a Parallel state the first failure ends the other branches, jobs in nested states included."""
    slow, bad = aws.unique("slow-branch"), aws.unique("bad-branch")
    nested = {
        "Type": "Parallel",
        "Branches": [{"StartAt": "Slow", "States": {"Slow": aws.task(slow, {"SECONDS": "60"})}}],
    }
    execution = aws.run(
        {
            "Both": {
                "Type": "Parallel",
                "End": True,
                "Branches": [
                    {"StartAt": "Nested", "States": {"Nested": nested | {"End": True}}},
                    {"StartAt": "Bad", "States": {"Bad": aws.task(bad, {"SECONDS": "0.5", "EXIT_CODE": "1"})}},
                ],
            }
        }
    )
    assert (execution["status"], execution["error"]) == ("FAILED", "States.TaskFailed")
    assert json.loads(execution["cause"])["ProcessingJobName"] == bad
    aws.until(lambda: aws.job_status(slow), lambda status: status == "Stopped", within=60)


def test_a_failing_iteration_stops_the_jobs_of_its_siblings(aws: ScriptedAws) -> None:
    """In an inline Map the first failure ends the other iterations."""
    prefix = aws.unique("map")
    task = aws.task(
        f"{{% '{prefix}-' & $states.context.Map.Item.Index %}}",
        {"SECONDS": "{% $states.input.seconds %}", "EXIT_CODE": "{% $states.input.code %}"},
    )
    execution = aws.run(
        {
            "Each": {
                "Type": "Map",
                "Items": "{% $states.input.items %}",
                "ItemProcessor": {"StartAt": "Run", "States": {"Run": task}},
                "End": True,
            }
        },
        {"items": [{"seconds": "60", "code": "0"}, {"seconds": "0.5", "code": "1"}]},
    )
    assert (execution["status"], execution["error"]) == ("FAILED", "States.TaskFailed")
    aws.until(lambda: aws.job_status(f"{prefix}-0"), lambda status: status == "Stopped", within=60)
