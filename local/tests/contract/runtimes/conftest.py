"""The same local AWS twice: containers as processes, and on a real Docker engine; without one the reason is printed."""

from __future__ import annotations

import contextlib
import io
import json
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from stepbridge_local.runtimes.docker import find_engine
from stepbridge_local.testing import ACCOUNT, REGION, LocalAwsProcess

TEST_BASE = "stepbridge-test-base"
DERIVED_BASE = "stepbridge-contract-base"
REGISTRY = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/anything"
DERIVED = f"""\
FROM {TEST_BASE}
RUN ln -s /usr/bin/python3 /usr/local/bin/python
ENV PIP_BREAK_SYSTEM_PACKAGES=1
"""
DOCKERFILE = """\
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
ARG GREETING=none
ENV GREETING=$GREETING
WORKDIR /app
COPY run.py .
ENTRYPOINT ["python", "/app/run.py"]
CMD ["convert"]
"""
PREBUILT = """\
ARG BASE_IMAGE
FROM ${{BASE_IMAGE}}
LABEL unique={unique}
"""
SCRIPT = """\
import os, pathlib, signal, socket, sys, time
ml = pathlib.Path("/opt/ml/processing")

def convert():
    text = (ml / "input" / "in.txt").read_text()
    print(os.environ["GREETING"], "from", os.getcwd(), flush=True)
    print("to stderr", file=sys.stderr)
    (ml / "output" / "out.txt").write_text(text.upper())

def fail():
    pathlib.Path("/opt/ml/output/message").write_text("it cannot be done")
    sys.exit(3)

def linger():
    def stopped(*_):
        print("asked to stop", flush=True)
        sys.exit(0)
    signal.signal(signal.SIGTERM, stopped)
    print("waiting", flush=True)
    time.sleep(300)

def interfaces():
    print(" ".join(sorted(name for _, name in socket.if_nameindex())))

globals()[sys.argv[1]]()
"""
BUILDSPEC = {
    "version": 0.2,
    "phases": {
        "pre_build": {
            "commands": [
                f"aws ecr get-login-password --region {REGION}"
                f" | docker login --username AWS --password-stdin {REGISTRY}"
            ],
            "on-failure": "ABORT",
        },
        "build": {
            "commands": [
                'set -e\ndocker build -t "$IMAGE_URI" ${BASE_IMAGE:+--build-arg BASE_IMAGE="$BASE_IMAGE"} --build-arg '
                'GREETING="it\'s me" .\ndocker push "$IMAGE_URI"'
            ]
        },
    },
}


class Site:
    """A local AWS, with what a test does to it. ``base_image`` is what images can start from."""

    def __init__(self, process: LocalAwsProcess, runtime: str, base_image: str) -> None:
        self.process = process
        self.runtime = runtime
        self.base_image = base_image
        self.bucket = "runtimes"

    def client(self, service: str) -> Any:
        return self.process.client(service)

    def prepare(self) -> None:
        s3 = self.client("s3")
        s3.create_bucket(Bucket=self.bucket)
        s3.put_object(Bucket=self.bucket, Key="in/in.txt", Body=b"some text")
        self.client("ecr").create_repository(repositoryName="models", imageTagMutability="IMMUTABLE")
        self.create_project()

    def restart(self) -> None:
        """End the local AWS and start it again; build projects are not kept, so this one is made again."""
        self.process.restart()
        self.create_project()

    def create_project(self) -> None:
        self.client("codebuild").create_project(
            name="build",
            source={"type": "S3", "location": f"{self.bucket}/source.zip", "buildspec": json.dumps(BUILDSPEC)},
            artifacts={"type": "NO_ARTIFACTS"},
            environment={
                "type": "LINUX_CONTAINER",
                "image": "aws/codebuild/amazonlinux-x86_64-standard:5.0",
                "computeType": "BUILD_GENERAL1_SMALL",
                "privilegedMode": True,
            },
            serviceRole=ROLE,
        )

    def build(self, tag: str, files: dict[str, str], base_image: str = "", **variables: str) -> tuple[str, str]:
        """Build and push ``models:<tag>`` from a source: the build's status and log.

        Without a ``base_image`` of its own it starts from that of ``--base-image``.
        """
        build = self.ended_build(self.start_build(tag, files, base_image, **variables))
        lines = self.log(build["logs"]["groupName"], build["logs"]["streamName"])
        return build["buildStatus"], "\n".join(lines)

    def start_build(self, tag: str, files: dict[str, str], base_image: str = "", **variables: str) -> str:
        """The id of the build of ``models:<tag>`` from a source."""
        body = io.BytesIO()
        with zipfile.ZipFile(body, "w") as archive:
            for path, text in files.items():
                archive.writestr(path, text)
        self.client("s3").put_object(Bucket=self.bucket, Key=f"{tag}.zip", Body=body.getvalue())
        values = {"IMAGE_URI": f"{REGISTRY}/models:{tag}", **variables}
        values |= {"BASE_IMAGE": base_image} if base_image else {}
        build = self.client("codebuild").start_build(
            projectName="build",
            sourceLocationOverride=f"{self.bucket}/{tag}.zip",
            environmentVariablesOverride=[{"name": name, "value": value} for name, value in values.items()],
        )["build"]
        return str(build["id"])

    def ended_build(self, build_id: str) -> dict[str, Any]:
        """The description of a build once it has ended."""
        deadline = time.monotonic() + 180
        while True:
            (build,) = self.client("codebuild").batch_get_builds(ids=[build_id])["builds"]
            if build["buildComplete"]:
                return dict(build)
            assert time.monotonic() < deadline, build
            time.sleep(0.1)

    def log(self, group: str, stream_prefix: str) -> list[str]:
        logs = self.client("logs")
        with contextlib.suppress(logs.exceptions.ResourceNotFoundException):
            events = logs.filter_log_events(logGroupName=group, logStreamNamePrefix=stream_prefix)["events"]
            return [event["message"] for event in events]
        return []

    def job_request(self, name: str, image_uri: str, *arguments: str, **more: Any) -> dict[str, Any]:
        source = {
            "S3Uri": f"s3://{self.bucket}/in/", "LocalPath": "/opt/ml/processing/input",
            "S3DataType": "S3Prefix", "S3InputMode": "File",
        }  # fmt: skip
        target = {
            "S3Uri": f"s3://{self.bucket}/out/{name}/",
            "LocalPath": "/opt/ml/processing/output",
            "S3UploadMode": "EndOfJob",
        }
        application = {"ImageUri": image_uri} | ({"ContainerArguments": list(arguments)} if arguments else {})
        return {
            "ProcessingJobName": name,
            "ProcessingResources": {
                "ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.t3.medium", "VolumeSizeInGB": 1}
            },
            "AppSpecification": application,
            "ProcessingInputs": [{"InputName": "data", "S3Input": source}],
            "ProcessingOutputConfig": {"Outputs": [{"OutputName": "data", "S3Output": target}]},
            "RoleArn": ROLE,
            **more,
        }

    def start_job(self, name: str, image_uri: str, *arguments: str, **more: Any) -> None:
        self.client("sagemaker").create_processing_job(**self.job_request(name, image_uri, *arguments, **more))

    def ended_job(self, name: str) -> dict[str, Any]:
        """The description of a job once it has ended."""
        sagemaker = self.client("sagemaker")
        deadline = time.monotonic() + 60
        while True:
            described: dict[str, Any] = sagemaker.describe_processing_job(ProcessingJobName=name)
            if described["ProcessingJobStatus"] not in ("InProgress", "Stopping"):
                return described
            assert time.monotonic() < deadline, described
            time.sleep(0.05)

    def job_log(self, name: str) -> list[str]:
        return self.log("/aws/sagemaker/ProcessingJobs", f"{name}/")

    def output(self, name: str) -> bytes:
        body = self.client("s3").get_object(Bucket=self.bucket, Key=f"out/{name}/out.txt")["Body"]
        return bytes(body.read())


def engine_with_base() -> str:
    """The base image on the engine; skips with the reason where there is no engine, or no image to start from."""
    engine = find_engine()
    if engine is None:
        pytest.skip("no Docker engine answers (DOCKER_HOST or the default socket); .ci/docker-engine starts one")
    if not engine.images.list(name=TEST_BASE):
        pytest.skip(f"the engine holds no image {TEST_BASE}; .ci/docker-engine makes it with debootstrap")
    network = None if engine.networks.list(names=["bridge"]) else "host"
    engine.images.build(fileobj=io.BytesIO(DERIVED.encode()), tag=DERIVED_BASE, network_mode=network, rm=True)
    return DERIVED_BASE


@pytest.fixture(scope="session", params=["process", "docker"])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A local AWS with each runtime, and a project that builds and pushes images of the repository ``models``."""
    runtime = str(request.param)
    base_image = "python:3" if runtime == "process" else engine_with_base()
    folder: Path = tmp_path_factory.mktemp(f"{runtime}-local-aws")
    (folder / "prebuilt").mkdir()
    (folder / "prebuilt" / "Dockerfile").write_text(PREBUILT.format(unique=uuid4()))
    options = ("--runtime", runtime, "--base-image", base_image, "--scikit-learn", str(folder / "prebuilt"))
    process = LocalAwsProcess(folder / "data", options)
    process.start()
    site = Site(process, runtime, base_image)
    site.prepare()
    yield site
    assert process.stop() == 0, process.log.read_text()


@pytest.fixture(scope="session")
def model_files() -> dict[str, str]:
    """The source of an image whose first argument says what it does."""
    return {"Dockerfile": DOCKERFILE, "run.py": SCRIPT}


@pytest.fixture(scope="session")
def image_uri(site: Site, model_files: dict[str, str]) -> str:
    """That image, built by CodeBuild and pushed."""
    status, log = site.build("model", model_files)
    assert status == "SUCCEEDED", log
    return f"{REGISTRY}/models:model"
