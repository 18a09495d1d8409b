"""``asl/batch_inference.asl.json`` on a local AWS whose jobs are scripted, through boto3 over HTTP."""

from __future__ import annotations

import itertools
import json
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from stepbridge_local.testing import client_of
from stepbridge_local.testing.scripted_jobs import ScriptedLocalAws

ROLE_ARN = "arn:aws:iam::123456789012:role/states"
IMAGE_URI = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
DEFINITION = Path(__file__).parents[3] / "asl" / "batch_inference.asl.json"


class BatchInference:
    """The state machine, deployed once: starts executions and waits for them. Times are seconds."""

    def __init__(self, endpoint_url: str) -> None:
        self.endpoint_url = endpoint_url
        self.sfn = self.client("stepfunctions")
        self.sagemaker = self.client("sagemaker")
        self._numbers = itertools.count()
        definition = DEFINITION.read_text(encoding="utf-8").replace("${Partition}", "aws")  # as the stack does
        created = self.sfn.create_state_machine(name="batch-inference", definition=definition, roleArn=ROLE_ARN)
        self.arn = str(created["stateMachineArn"])

    def client(self, service: str) -> Any:
        return client_of(self.endpoint_url, service)

    def unique(self, prefix: str) -> str:
        return f"{prefix}-{next(self._numbers)}"

    def start(self, execution_input: dict[str, Any]) -> str:
        """The ARN of a new execution."""
        answer = self.sfn.start_execution(
            stateMachineArn=self.arn, name=self.unique("execution"), input=json.dumps(execution_input)
        )
        return str(answer["executionArn"])

    def end(self, arn: str, within: float = 120.0) -> dict[str, Any]:
        """The description of an execution once it has ended."""
        return self.until(
            lambda: self.sfn.describe_execution(executionArn=arn), lambda found: found["status"] != "RUNNING", within
        )

    def history(self, arn: str) -> list[dict[str, Any]]:
        events: list[dict[str, Any]] = self.sfn.get_execution_history(executionArn=arn, maxResults=1000)["events"]
        return events

    def event_types(self, arn: str) -> list[str]:
        return [event["type"] for event in self.history(arn)]

    def failures(self, arn: str) -> list[dict[str, Any]]:
        """Error and cause of every failed task of an execution."""
        return [event["taskFailedEventDetails"] for event in self.history(arn) if event["type"] == "TaskFailed"]

    def job_status(self, name: str) -> str:
        return str(self.sagemaker.describe_processing_job(ProcessingJobName=name)["ProcessingJobStatus"])

    def inject(self, *faults: dict[str, Any]) -> None:
        """Let exactly these faults be injected."""
        url, body = f"{self.endpoint_url}/_stepbridge/faults", json.dumps(faults).encode()
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"}, method="PUT")
        with urllib.request.urlopen(request):
            pass

    def until(self, read: Callable[[], Any], accepted: Callable[[Any], bool], within: float = 120.0) -> Any:
        """What ``read`` returns once it is ``accepted``; fails with what was read last."""
        deadline = time.monotonic() + within
        while not accepted(found := read()):
            assert time.monotonic() < deadline, f"not within {within} s; last read: {found}"
            time.sleep(0.01)
        return found


@pytest.fixture(scope="session")
def shared_machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BatchInference]:
    server = ScriptedLocalAws(tmp_path_factory.mktemp("scripted-local-aws"))
    yield BatchInference(server.endpoint_url)
    server.close()


@pytest.fixture
def machine(shared_machine: BatchInference) -> Iterator[BatchInference]:
    """The state machine, on a local AWS without injected faults."""
    yield shared_machine
    shared_machine.inject()


@pytest.fixture
def nine_keys(machine: BatchInference) -> dict[str, Any]:
    """The documented execution input, with objects where its URIs point."""
    s3, bucket = machine.client("s3"), machine.unique("batch-inference")
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
