"""The Processing service under test, and the requests that it is given."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .processing_support import IMAGE_URI, SCOPE, Aws, s3_input, s3_output


@pytest.fixture
def aws(tmp_path: Path) -> Iterator[Aws]:
    aws = Aws(tmp_path / "jobs")
    yield aws
    for service in aws.services:
        service.stop_all()
    aws.runtime.close()


@pytest.fixture
def job(aws: Aws) -> Callable[..., dict[str, Any]]:
    """A request that runs ``script`` with Python; one input, unless told otherwise, and one output."""

    def request(script: str, name: str = "job-1", **members: Any) -> dict[str, Any]:
        inputs = members.pop("ProcessingInputs", [s3_input("data", "s3://data/in")])
        command = [sys.executable, "-u", "/opt/ml/processing/code/main.py"]
        return {
            "ProcessingJobName": name,
            "RoleArn": f"arn:aws:iam::{SCOPE.account_id}:role/processing",
            "AppSpecification": {"ImageUri": IMAGE_URI, "ContainerEntrypoint": command},
            "ProcessingResources": {
                "ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 30}
            },
            "ProcessingInputs": [*inputs, aws.script(name, script)],
            "ProcessingOutputConfig": {"Outputs": [s3_output("result", "s3://data/out/")]},
        } | members

    return request
