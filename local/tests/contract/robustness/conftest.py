"""A real local AWS whose prebuilt image is a bare Python, measured from outside."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from stepbridge_local.testing import ACCOUNT, LocalAwsProcess

ROLE_ARN = f"arn:aws:iam::{ACCOUNT}:role/robust"
IMAGE_URI = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
SYNC = "arn:aws:states:::sagemaker:createProcessingJob.sync"
MAX_JOBS = 2


class MeasuredAws:
    """A local AWS on a data folder of its own, with what these tests ask of it. Sizes are bytes, times seconds."""

    def __init__(self, process: LocalAwsProcess) -> None:
        self.process = process

    def client(self, service: str, **options: Any) -> Any:
        return self.process.client(service, **options)

    def job(self, name: str, code: str, *arguments: str, **more: Any) -> dict[str, Any]:
        """A job that runs ``python -c code arguments``."""
        return {
            "ProcessingJobName": name,
            "RoleArn": ROLE_ARN,
            "AppSpecification": {
                "ImageUri": IMAGE_URI,
                "ContainerEntrypoint": ["python", "-c", code],
                **({"ContainerArguments": list(arguments)} if arguments else {}),
            },
            "ProcessingResources": {
                "ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1}
            },
            **more,
        }

    def machine(self, name: str, states: dict[str, Any]) -> str:
        """The ARN of the JSONata machine, made again after a restart."""
        definition = {"QueryLanguage": "JSONata", "StartAt": next(iter(states)), "States": states}
        answer = self.client("stepfunctions").create_state_machine(
            name=name, definition=json.dumps(definition), roleArn=ROLE_ARN
        )
        return str(answer["stateMachineArn"])

    def job_status(self, name: str) -> str:
        described = self.client("sagemaker").describe_processing_job(ProcessingJobName=name)
        return str(described["ProcessingJobStatus"])

    def peak_memory(self) -> int:
        """The most memory that the process of the local AWS ever had resident."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))

    def until(self, read: Callable[[], Any], accepted: Callable[[Any], bool], within: float = 120.0) -> Any:
        """What ``read`` gives once ``accepted`` accepts it; fails with the last thing found when the time is over."""
        deadline = time.monotonic() + within
        while True:
            found = read()
            if accepted(found):
                return found
            assert time.monotonic() < deadline, f"not within {within} s; last read: {found}"
            time.sleep(0.02)


def processes_with(text: str) -> list[str]:
    """The command lines, of all processes but this one, that contain the text."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        if folder.name == str(os.getpid()):
            continue
        try:
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended meanwhile
        if text in command:
            found.append(f"{folder.name}: {command}")
    return found


@pytest.fixture
def left_running() -> Callable[[str], list[str]]:
    """``left_running(text)``: the processes whose command line holds the text."""
    return processes_with


@pytest.fixture
def aws(tmp_path: Path) -> Iterator[MeasuredAws]:
    image = tmp_path / "image"
    image.mkdir()
    (image / "Dockerfile").write_text(f"FROM python:{sys.version_info.major}.{sys.version_info.minor}\n")
    options = ("--scikit-learn", str(image), "--max-jobs", str(MAX_JOBS))
    process = LocalAwsProcess(tmp_path / "data", options)
    process.start()
    yield MeasuredAws(process)
    if process.is_running:
        process.stop(signal.SIGKILL)
