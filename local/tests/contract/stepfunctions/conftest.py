"""State machines on a local AWS whose jobs are scripted, through boto3 over HTTP."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from stepbridge_local.testing.scripted_jobs import ScriptedLocalAws

ROLE_ARN = "arn:aws:iam::123456789012:role/states"
IMAGE_URI = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
SYNC = "arn:aws:states:::sagemaker:createProcessingJob.sync"


class ScriptedAws:
    """Makes state machines, runs them and looks at what came of it. Times are seconds."""

    def __init__(self, endpoint_url: str) -> None:
        self.endpoint_url = endpoint_url
        self.sfn = self.client("stepfunctions")
        self.sagemaker = self.client("sagemaker")
        self._numbers = itertools.count()

    def client(self, service: str, region: str = "us-east-1") -> Any:
        return boto3.client(
            service,
            region_name=region,
            endpoint_url=self.endpoint_url,
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    def unique(self, prefix: str) -> str:
        return f"{prefix}-{next(self._numbers)}"

    def machine(self, states: dict[str, Any], **top: Any) -> str:
        """The ARN of a new state machine, in JSONata, that starts at the first of ``states``."""
        definition = {"QueryLanguage": "JSONata", "StartAt": next(iter(states)), "States": states, **top}
        return self.create(json.dumps(definition))

    def create(self, definition: str, **options: Any) -> str:
        answer = self.sfn.create_state_machine(
            name=self.unique("machine"), definition=definition, roleArn=ROLE_ARN, **options
        )
        return str(answer["stateMachineArn"])

    def start(self, machine: str, execution_input: Any = None, name: str | None = None) -> str:
        options = {"name": name} if name else {}
        text = json.dumps({} if execution_input is None else execution_input)
        return str(self.sfn.start_execution(stateMachineArn=machine, input=text, **options)["executionArn"])

    def run(self, states: dict[str, Any], execution_input: Any = None, **top: Any) -> dict[str, Any]:
        """The description of a new machine's execution once it has ended."""
        return self.end(self.start(self.machine(states, **top), execution_input))

    def end(self, arn: str, within: float = 120.0) -> dict[str, Any]:
        return self.until(
            lambda: self.sfn.describe_execution(executionArn=arn), lambda found: found["status"] != "RUNNING", within
        )

    def output(self, states: dict[str, Any], execution_input: Any = None, **top: Any) -> Any:
        """The output of a new machine's execution, which must succeed."""
        execution = self.run(states, execution_input, **top)
        assert execution["status"] == "SUCCEEDED", execution
        return json.loads(execution["output"])

    def history(self, arn: str) -> list[dict[str, Any]]:
        events: list[dict[str, Any]] = self.sfn.get_execution_history(executionArn=arn, maxResults=1000)["events"]
        return events

    def event_types(self, arn: str) -> list[str]:
        return [event["type"] for event in self.history(arn)]

    def job_status(self, name: str) -> str:
        return str(self.sagemaker.describe_processing_job(ProcessingJobName=name)["ProcessingJobStatus"])

    def job_exists(self, name: str) -> bool:
        found = self.sagemaker.list_processing_jobs(NameContains=name)["ProcessingJobSummaries"]
        return any(summary["ProcessingJobName"] == name for summary in found)

    def until(self, read: Any, accepted: Any, within: float = 120.0) -> Any:
        """What ``read`` gives once ``accepted`` accepts it; fails with the last thing found when the time is over."""
        deadline = time.monotonic() + within
        while True:
            found = read()
            if accepted(found):
                return found
            if time.monotonic() > deadline:
                pytest.fail(f"not within {within} s; last read: {found}")
            time.sleep(0.01)

    def job(self, name: str, environment: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
        """The arguments of a scripted Processing job."""
        return {
            "ProcessingJobName": name,
            "RoleArn": ROLE_ARN,
            "AppSpecification": {"ImageUri": IMAGE_URI, "ContainerEntrypoint": ["python", "script.py"]},
            "ProcessingResources": {
                "ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 30}
            },
            "Environment": environment or {},
            **more,
        }

    def task(self, name: str, environment: dict[str, Any] | None = None, **state: Any) -> dict[str, Any]:
        """A Task state that runs a scripted job to its end; it ends the machine unless ``state`` has a Next."""
        following = {} if "Next" in state else {"End": True}
        return {"Type": "Task", "Resource": SYNC, "Arguments": self.job(name, environment), **following, **state}


@pytest.fixture(scope="session")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScriptedAws]:
    server = ScriptedLocalAws(tmp_path_factory.mktemp("scripted-local-aws"))
    yield ScriptedAws(server.endpoint_url)
    server.close()
