"""What the end of the local AWS does to executions and to what runs: kept, or Failed with the reason."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from tests.contract.robustness.conftest import MeasuredAws

ENDS = [signal.SIGTERM, signal.SIGKILL]
SYNC = "arn:aws:states:::sagemaker:createProcessingJob.sync"
CAUSE = "the local AWS was stopped while the execution ran"
QUICK = {"Double": {"Type": "Pass", "Output": {"n": "{% $states.input.n * 2 %}"}, "End": True}}
SLOW = {
    "First": {"Type": "Pass", "Assign": {"kept": "{% $states.input.n + 1 %}"}, "Next": "Rest"},
    "Rest": {"Type": "Wait", "Seconds": "{% $states.context.Execution.RedriveCount = 0 ? 600 : 0 %}", "Next": "Last"},
    "Last": {"Type": "Pass", "Output": {"kept": "{% $kept %}"}, "End": True},
}


def described(sfn: Any, arn: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    description = sfn.describe_execution(executionArn=arn)
    del description["ResponseMetadata"]
    return description, sfn.get_execution_history(executionArn=arn)["events"]


def start(aws: MeasuredAws, machine: str, name: str, execution_input: Any) -> str:
    sfn = aws.client("stepfunctions")
    answer = sfn.start_execution(stateMachineArn=machine, name=name, input=json.dumps(execution_input))
    return str(answer["executionArn"])


def end(aws: MeasuredAws, arn: str) -> dict[str, Any]:
    sfn = aws.client("stepfunctions")
    found: dict[str, Any] = aws.until(
        lambda: sfn.describe_execution(executionArn=arn), lambda seen: seen["status"] != "RUNNING"
    )
    return found


@pytest.mark.parametrize("how", ENDS)
def test_ended_executions_stay_as_they_were(aws: MeasuredAws, how: int) -> None:
    """Description and history, before the state machine is made again and after; the name stays taken."""
    machine = aws.machine("quick", QUICK)
    arn = start(aws, machine, "one", {"n": 21})
    assert end(aws, arn)["output"] == '{"n":42}'
    before = described(aws.client("stepfunctions"), arn)
    aws.process.restart(how)
    sfn = aws.client("stepfunctions")
    assert described(sfn, arn) == before
    assert aws.machine("quick", QUICK) == machine
    assert described(sfn, arn) == before
    assert [one["name"] for one in sfn.list_executions(stateMachineArn=machine)["executions"]] == ["one"]
    with pytest.raises(ClientError, match="ExecutionAlreadyExists"):
        start(aws, machine, "one", {"n": 22})
    assert end(aws, start(aws, machine, "two", {"n": 1}))["status"] == "SUCCEEDED"


@pytest.mark.parametrize("how", ENDS)
def test_a_running_execution_fails_with_the_reason_and_can_be_redriven(aws: MeasuredAws, how: int) -> None:
    """It continues in the state it was in, with its variables, under the same ARN and in the same history."""
    machine = aws.machine("slow", SLOW)
    arn = start(aws, machine, "one", {"n": 1})
    sfn = aws.client("stepfunctions")
    aws.until(lambda: described(sfn, arn)[1][-1]["type"], lambda last: last == "WaitStateEntered")
    before = described(sfn, arn)[1]
    aws.process.restart(how)
    aws.machine("slow", SLOW)
    sfn = aws.client("stepfunctions")
    execution, history = described(sfn, arn)
    assert (execution["status"], execution["error"], execution["cause"]) == ("FAILED", "States.Runtime", CAUSE)
    assert (execution["redriveStatus"], execution["input"]) == ("REDRIVABLE", '{"n": 1}')
    assert execution["stopDate"] > execution["startDate"]
    assert history[:-1] == before
    assert history[-1]["executionFailedEventDetails"] == {"error": "States.Runtime", "cause": CAUSE}
    assert sfn.list_executions(stateMachineArn=machine, statusFilter="RUNNING")["executions"] == []
    sfn.redrive_execution(executionArn=arn)
    again = end(aws, arn)
    assert (again["status"], again["output"], again["redriveCount"]) == ("SUCCEEDED", '{"kept":2}', 1)
    whole = described(sfn, arn)
    assert [event["id"] for event in whole[1]] == list(range(1, len(whole[1]) + 1))
    aws.process.restart(how)
    assert described(aws.client("stepfunctions"), arn) == whole


def test_a_deleted_machine_takes_its_executions_along(aws: MeasuredAws) -> None:
    """They do not come back with a restart, nor with a machine of the same name; their names are free."""
    machine = aws.machine("quick", QUICK)
    arn = start(aws, machine, "one", {"n": 1})
    end(aws, arn)
    aws.client("stepfunctions").delete_state_machine(stateMachineArn=machine)
    aws.process.restart(signal.SIGKILL)
    aws.machine("quick", QUICK)
    with pytest.raises(ClientError, match="ExecutionDoesNotExist"):
        aws.client("stepfunctions").describe_execution(executionArn=arn)
    assert end(aws, start(aws, machine, "one", {"n": 2}))["output"] == '{"n":4}'


def test_kill_9_leaves_nothing_running(aws: MeasuredAws, left_running: Callable[[str], list[str]]) -> None:
    """No process and no mount outlives it; the job and the queued ones are Failed, and so is their execution."""
    mark = f"mark-{time.monotonic_ns()}"
    code = f"import subprocess, time; subprocess.Popen(['sleep', '611']); print('{mark}', flush=True); time.sleep(600)"
    states = {"Job": {"Type": "Task", "Resource": SYNC, "Arguments": aws.job("in-execution", code), "End": True}}
    machine = aws.machine("jobs", states)
    arn = start(aws, machine, "one", {})
    sagemaker = aws.client("sagemaker")
    for number in range(3):
        sagemaker.create_processing_job(**aws.job(f"job-{number}", code))
    aws.until(lambda: left_running(mark), lambda found: len(found) >= 2)
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="kept")
    s3.put_object(Bucket="kept", Key="x", Body=b"kept")
    aws.process.stop(signal.SIGKILL)
    aws.until(lambda: left_running(mark), lambda found: not found, within=30)
    assert str(aws.process.data_dir) not in Path("/proc/self/mountinfo").read_text()
    aws.process.start()
    assert aws.client("s3").get_object(Bucket="kept", Key="x")["Body"].read() == b"kept"
    aws.machine("jobs", states)
    assert described(aws.client("stepfunctions"), arn)[0]["cause"] == CAUSE
    sagemaker = aws.client("sagemaker")
    for name in ("in-execution", "job-0", "job-1", "job-2"):
        found = sagemaker.describe_processing_job(ProcessingJobName=name)
        assert found["ProcessingJobStatus"] == "Failed"
        assert found["FailureReason"].startswith("InternalServerError: ")
    assert list((aws.process.data_dir / "jobs" / "work").glob("*/*/*")) == []
    sagemaker.create_processing_job(**aws.job("after", "print('runs again')"))
    assert aws.until(lambda: aws.job_status("after"), lambda status: status != "InProgress") == "Completed"


BUILDSPEC = "version: 0.2\nphases: {build: {commands: [echo begun, sleep $SECONDS]}}"


def project(aws: MeasuredAws) -> Any:
    """A CodeBuild client, with the project made again after a restart."""
    codebuild = aws.client("codebuild")
    codebuild.create_project(
        name="builds",
        source={"type": "NO_SOURCE", "buildspec": BUILDSPEC},
        artifacts={"type": "NO_ARTIFACTS"},
        environment={"type": "LINUX_CONTAINER", "image": "i", "computeType": "BUILD_GENERAL1_SMALL"},
        serviceRole="arn:aws:iam::123456789012:role/build",
    )
    return codebuild


def test_builds_stay_as_they_were_and_the_running_one_is_failed(
    aws: MeasuredAws, left_running: Callable[[str], list[str]]
) -> None:
    """With its phases, and with the reason; numbers go on. No process of it is left."""

    def begin(seconds: str) -> str:
        override = [{"name": "SECONDS", "value": seconds}]
        return str(codebuild.start_build(projectName="builds", environmentVariablesOverride=override)["build"]["id"])

    def build(build_id: str) -> dict[str, Any]:
        found: dict[str, Any] = codebuild.batch_get_builds(ids=[build_id])["builds"][0]
        return found

    codebuild = project(aws)
    ended = begin("0")
    before = aws.until(lambda: build(ended), lambda seen: seen["buildComplete"])
    assert before["buildStatus"] == "SUCCEEDED", before
    running = begin("617")
    aws.until(lambda: left_running("sleep 617"), bool)
    aws.process.restart(signal.SIGKILL)
    assert aws.until(lambda: left_running("sleep 617"), lambda found: not found) == []
    codebuild = project(aws)
    assert build(ended) == before
    failed = build(running)
    assert (failed["buildStatus"], failed["buildComplete"]) == ("FAILED", True)
    context = next(phase["contexts"][0] for phase in failed["phases"] if phase.get("phaseStatus") == "FAILED")
    assert context["message"] == "the local AWS was stopped while the build ran"
    assert codebuild.list_builds()["ids"] == [running, ended]
    assert build(begin("0"))["buildNumber"] == 3
