"""The Processing service under test, and the requests that it is given."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from stepbridge_local.protocols import ContainerRuntime
from stepbridge_local.runtimes.docker import DockerRuntime, find_engine
from stepbridge_local.runtimes.process import ProcessRuntime

from .memory_services import MemoryRegistry
from .processing_support import IMAGE_URI, SCOPE, Aws, s3_input, s3_output
from .recording_runtime import RecordingRuntime

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
DOCKERFILES = {
    "process": f'FROM python:{PYTHON}-slim\nCMD ["python", "-V"]\n',
    "docker": 'FROM stepbridge-test-base\nRUN ln -s /usr/bin/python3 /usr/bin/python\nCMD ["python", "-V"]\n',
}


@pytest.fixture(scope="session")
def engine() -> docker.DockerClient:
    client = find_engine()
    if client is None:
        pytest.skip("no Docker engine answers (DOCKER_HOST or the default socket); .ci/run starts one")
    if not client.images.list(name="stepbridge-test-base"):
        pytest.skip("the engine holds no image stepbridge-test-base; .ci/run makes it with debootstrap")
    return client


@pytest.fixture(scope="session")
def make_runtime(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str, Path], ContainerRuntime]:
    """Makes a runtime, by its name, whose containers belong to a folder."""
    images = tmp_path_factory.mktemp("images")

    def make(name: str, folder: Path) -> ContainerRuntime:
        if name == "process":
            return ProcessRuntime(images, folder)
        return DockerRuntime(request.getfixturevalue("engine"), folder)

    return make


@pytest.fixture(scope="session", params=["process", "docker"])
def runtime_name(request: pytest.FixtureRequest) -> str:
    """Each runtime's: one suite of tests for all. Docker's is skipped only where no engine answers."""
    if request.param == "docker":
        request.getfixturevalue("engine")
    return str(request.param)


@pytest.fixture(scope="session")
def image_id(
    runtime_name: str,
    make_runtime: Callable[[str, Path], ContainerRuntime],
    tmp_path_factory: pytest.TempPathFactory,
) -> str:
    """An image with Python and nothing else."""
    context = tmp_path_factory.mktemp("context")
    (context / "Dockerfile").write_text(DOCKERFILES[runtime_name])
    runtime = make_runtime(runtime_name, tmp_path_factory.mktemp("build"))
    try:
        return runtime.build(context, "Dockerfile", {}, print).image_id
    finally:
        runtime.close()


@pytest.fixture
def aws(
    runtime_name: str, make_runtime: Callable[[str, Path], ContainerRuntime], image_id: str, tmp_path: Path
) -> Iterator[Aws]:
    """The local AWS on the runtime."""
    runtime = make_runtime(runtime_name, tmp_path / "work")
    aws = Aws(tmp_path / "jobs", RecordingRuntime(runtime), MemoryRegistry(model=image_id))
    yield aws
    for service in aws.services:
        service.stop_all()
    aws.runtime.close()


@pytest.fixture
def job(aws: Aws) -> Callable[..., dict[str, Any]]:
    """A request that runs ``script`` with Python; one input by default, and one output."""

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
