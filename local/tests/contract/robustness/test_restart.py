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
    from tests.contract.robustness.conftest import Bench

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


def start(bench: Bench, machine: str, name: str, execution_input: Any) -> str:
    sfn = bench.client("stepfunctions")
    answer = sfn.start_execution(stateMachineArn=machine, name=name, input=json.dumps(execution_input))
    return str(answer["executionArn"])


def end(bench: Bench, arn: str) -> dict[str, Any]:
    sfn = bench.client("stepfunctions")
    found: dict[str, Any] = bench.until(
        lambda: sfn.describe_execution(executionArn=arn), lambda seen: seen["status"] != "RUNNING"
    )
    return found


@pytest.mark.parametrize("how", ENDS)
def test_ended_executions_stay_as_they_were(bench: Bench, how: int) -> None:
    """Description and history, before the state machine is made again and after; the name stays taken."""
    machine = bench.machine("quick", QUICK)
    arn = start(bench, machine, "one", {"n": 21})
    assert end(bench, arn)["output"] == '{"n":42}'
    before = described(bench.client("stepfunctions"), arn)
    bench.process.restart(how)
    sfn = bench.client("stepfunctions")
    assert described(sfn, arn) == before
    assert bench.machine("quick", QUICK) == machine
    assert described(sfn, arn) == before
    assert [one["name"] for one in sfn.list_executions(stateMachineArn=machine)["executions"]] == ["one"]
    with pytest.raises(ClientError, match="ExecutionAlreadyExists"):
        start(bench, machine, "one", {"n": 22})
    assert end(bench, start(bench, machine, "two", {"n": 1}))["status"] == "SUCCEEDED"


@pytest.mark.parametrize("how", ENDS)
def test_a_running_execution_fails_with_the_reason_and_can_be_redriven(bench: Bench, how: int) -> None:
    """It continues in the state it was in, with its variables, under the same ARN and in the same history."""
    machine = bench.machine("slow", SLOW)
    arn = start(bench, machine, "one", {"n": 1})
    sfn = bench.client("stepfunctions")
    bench.until(lambda: described(sfn, arn)[1][-1]["type"], lambda last: last == "WaitStateEntered")
    before = described(sfn, arn)[1]
    bench.process.restart(how)
    bench.machine("slow", SLOW)
    sfn = bench.client("stepfunctions")
    execution, history = described(sfn, arn)
    assert (execution["status"], execution["error"], execution["cause"]) == ("FAILED", "States.Runtime", CAUSE)
    assert (execution["redriveStatus"], execution["input"]) == ("REDRIVABLE", '{"n": 1}')
    assert execution["stopDate"] > execution["startDate"]
    assert history[:-1] == before
    assert history[-1]["executionFailedEventDetails"] == {"error": "States.Runtime", "cause": CAUSE}
    assert sfn.list_executions(stateMachineArn=machine, statusFilter="RUNNING")["executions"] == []
    sfn.redrive_execution(executionArn=arn)
    again = end(bench, arn)
    assert (again["status"], again["output"], again["redriveCount"]) == ("SUCCEEDED", '{"kept":2}', 1)
    whole = described(sfn, arn)
    assert [event["id"] for event in whole[1]] == list(range(1, len(whole[1]) + 1))
    bench.process.restart(how)
    assert described(bench.client("stepfunctions"), arn) == whole


def test_a_deleted_machine_takes_its_executions_along(bench: Bench) -> None:
    """They do not come back with a restart, nor with a machine of the same name; their names are free."""
    machine = bench.machine("quick", QUICK)
    arn = start(bench, machine, "one", {"n": 1})
    end(bench, arn)
    bench.client("stepfunctions").delete_state_machine(stateMachineArn=machine)
    bench.process.restart(signal.SIGKILL)
    bench.machine("quick", QUICK)
    with pytest.raises(ClientError, match="ExecutionDoesNotExist"):
        bench.client("stepfunctions").describe_execution(executionArn=arn)
    assert end(bench, start(bench, machine, "one", {"n": 2}))["output"] == '{"n":4}'


def test_kill_9_leaves_nothing_running(bench: Bench, left_running: Callable[[str], list[str]]) -> None:
    """No process and no mount outlives it; the job and the queued ones are Failed, and so is their execution."""
    mark = f"mark-{time.monotonic_ns()}"
    code = f"import subprocess, time; subprocess.Popen(['sleep', '611']); print('{mark}', flush=True); time.sleep(600)"
    states = {"Job": {"Type": "Task", "Resource": SYNC, "Arguments": bench.job("in-execution", code), "End": True}}
    machine = bench.machine("jobs", states)
    arn = start(bench, machine, "one", {})
    sagemaker = bench.client("sagemaker")
    for number in range(3):
        sagemaker.create_processing_job(**bench.job(f"job-{number}", code))
    bench.until(lambda: left_running(mark), lambda found: len(found) >= 2)
    s3 = bench.client("s3")
    s3.create_bucket(Bucket="kept")
    s3.put_object(Bucket="kept", Key="x", Body=b"kept")
    bench.process.stop(signal.SIGKILL)
    bench.until(lambda: left_running(mark), lambda found: not found, within=3.0)
    assert str(bench.process.data_dir) not in Path("/proc/self/mountinfo").read_text()
    bench.process.start()
    assert bench.client("s3").get_object(Bucket="kept", Key="x")["Body"].read() == b"kept"
    bench.machine("jobs", states)
    assert described(bench.client("stepfunctions"), arn)[0]["cause"] == CAUSE
    sagemaker = bench.client("sagemaker")
    for name in ("in-execution", "job-0", "job-1", "job-2"):
        found = sagemaker.describe_processing_job(ProcessingJobName=name)
        assert found["ProcessingJobStatus"] == "Failed"
        assert found["FailureReason"].startswith("InternalServerError: ")
    assert list((bench.process.data_dir / "jobs" / "work").glob("*/*/*")) == []
    sagemaker.create_processing_job(**bench.job("after", "print('runs again')"))
    assert bench.until(lambda: bench.job_status("after"), lambda status: status != "InProgress") == "Completed"


BUILDSPEC = "version: 0.2\nphases: {build: {commands: [echo begun, sleep $SECONDS]}}"


def project(bench: Bench) -> Any:
    """A CodeBuild client, with the project made again after a restart."""
    codebuild = bench.client("codebuild")
    codebuild.create_project(
        name="builds",
        source={"type": "NO_SOURCE", "buildspec": BUILDSPEC},
        artifacts={"type": "NO_ARTIFACTS"},
        environment={"type": "LINUX_CONTAINER", "image": "i", "computeType": "BUILD_GENERAL1_SMALL"},
        serviceRole="arn:aws:iam::123456789012:role/build",
    )
    return codebuild


def test_builds_stay_as_they_were_and_the_running_one_is_failed(
    bench: Bench, left_running: Callable[[str], list[str]]
) -> None:
    """With its phases, and with the reason; numbers go on. No process of it is left."""

    def begin(seconds: str) -> str:
        override = [{"name": "SECONDS", "value": seconds}]
        return str(codebuild.start_build(projectName="builds", environmentVariablesOverride=override)["build"]["id"])

    def build(build_id: str) -> dict[str, Any]:
        found: dict[str, Any] = codebuild.batch_get_builds(ids=[build_id])["builds"][0]
        return found

    codebuild = project(bench)
    ended = begin("0")
    before = bench.until(lambda: build(ended), lambda seen: seen["buildComplete"])
    assert before["buildStatus"] == "SUCCEEDED", before
    running = begin("617")
    bench.until(lambda: left_running("sleep 617"), bool)
    bench.process.restart(signal.SIGKILL)
    assert bench.until(lambda: left_running("sleep 617"), lambda found: not found) == []
    codebuild = project(bench)
    assert build(ended) == before
    failed = build(running)
    assert (failed["buildStatus"], failed["buildComplete"]) == ("FAILED", True)
    context = next(phase["contexts"][0] for phase in failed["phases"] if phase.get("phaseStatus") == "FAILED")
    assert context["message"] == "the local AWS was stopped while the build ran"
    assert codebuild.list_builds()["ids"] == [running, ended]
    assert build(begin("0"))["buildNumber"] == 3
