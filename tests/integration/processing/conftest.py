"""The Processing service under test, and the requests that it is given."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from stepbridge.local.ports import ContainerRuntime
from stepbridge.local.process_runtime import ProcessRuntime

from .memory_services import MemoryRegistry
from .processing_support import IMAGE_URI, SCOPE, Aws, s3_input, s3_output
from .subprocess_runtime import RecordingRuntime, SubprocessRuntime


@pytest.fixture(scope="session")
def process_image(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The images folder of the process runtime with one image in it, and the image's id."""
    context, images = tmp_path_factory.mktemp("context"), tmp_path_factory.mktemp("images")
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    (context / "Dockerfile").write_text(f'FROM python:{version}-slim\nCMD ["python", "-V"]\n')
    runtime = ProcessRuntime(images, tmp_path_factory.mktemp("work"))
    try:
        return images, runtime.build(context, "Dockerfile", {}, print).image_id
    finally:
        runtime.close()


@pytest.fixture(params=["subprocess", "process"])
def aws(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Aws]:
    """The local AWS, on plain processes and on the process runtime."""
    runtime: ContainerRuntime
    if request.param == "process":
        images, image_id = request.getfixturevalue("process_image")
        runtime = ProcessRuntime(images, tmp_path / "work")
    else:
        image_id = "sha256:1"
        runtime = SubprocessRuntime({image_id: ["python", "-V"]})
    aws = Aws(tmp_path / "jobs", RecordingRuntime(runtime), MemoryRegistry(model=image_id))
    yield aws
    for service in aws.services:
        service.stop_all()
    aws.runtime.close()


@pytest.fixture
def job(aws: Aws) -> Callable[..., dict[str, Any]]:
    """A request that runs ``script`` with Python; one input, unless told otherwise, and one output."""

    def request(script: str, name: str = "job-1", **members: Any) -> dict[str, Any]:
        inputs = members.pop("ProcessingInputs", [s3_input("data", "s3://data/in")])
        command = ["python", "-u", "/opt/ml/processing/code/main.py"]
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
