"""What the Amazon provider starts from: a bucket, a role and a tiny image that the local AWS has built."""

from __future__ import annotations

import io
import itertools
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from stepbridge_local.testing import ACCOUNT, REGION, LocalAwsProcess

ROLE_ARN = f"arn:aws:iam::{ACCOUNT}:role/clients"
REGISTRY = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"
DOCKERFILE = """\
FROM python:3-slim
WORKDIR /app
COPY run.py .
ENTRYPOINT ["python3", "/app/run.py"]
"""
SCRIPT = '''\
"""Write every input in capitals."""
import os, pathlib, sys, time

ml = pathlib.Path("/opt/ml/processing")
time.sleep(float(os.environ.get("SECONDS", "0")))
if "fail" in sys.argv:
    sys.exit("told to fail")
(ml / "output").mkdir(exist_ok=True)
for source in sorted((ml / "input").glob("*.txt")):
    (ml / "output" / source.name).write_text(source.read_text().upper())
'''
BUILDSPEC = f"""\
version: 0.2
phases:
  build:
    commands:
      - aws ecr get-login-password | docker login --username AWS --password-stdin {REGISTRY}
      - docker build -t {REGISTRY}/clients/tiny:one .
      - docker push {REGISTRY}/clients/tiny:one
"""


@dataclass
class Site:
    """A local AWS with a bucket, a role and an image."""

    aws: LocalAwsProcess
    bucket: str
    image_uri: str
    role_arn: str = ROLE_ARN
    _clients: dict[str, Any] = field(default_factory=dict, repr=False)
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def endpoint_url(self) -> str:
        return self.aws.endpoint_url

    def client(self, service: str) -> Any:
        """A client, the same one for the same service: making one takes longer than most calls."""
        if service not in self._clients:
            self._clients[service] = self.aws.client(service)
        return self._clients[service]

    def unique(self, prefix: str) -> str:
        return f"{prefix}-{next(self._numbers)}"

    def uri(self, *parts: str) -> str:
        return "/".join((f"s3://{self.bucket}", *parts))

    def put(self, key: str, text: str) -> None:
        self.client("s3").put_object(Bucket=self.bucket, Key=key, Body=text.encode())

    def text(self, key: str) -> str:
        body: bytes = self.client("s3").get_object(Bucket=self.bucket, Key=key)["Body"].read()
        return body.decode()

    def job(self, name: str, *arguments: str, **environment: str) -> dict[str, Any]:
        """A CreateProcessingJob request that writes ``in/<name>/`` in capitals to ``out/<name>/``."""
        application: dict[str, Any] = {"ImageUri": self.image_uri}
        if arguments:
            application["ContainerArguments"] = list(arguments)
        source = {"S3Uri": self.uri("in", name), "LocalPath": "/opt/ml/processing/input", "S3DataType": "S3Prefix"}
        target = {"S3Uri": self.uri("out", name), "LocalPath": "/opt/ml/processing/output", "S3UploadMode": "EndOfJob"}
        return {
            "ProcessingJobName": name,
            "RoleArn": self.role_arn,
            "AppSpecification": application,
            "ProcessingResources": {
                "ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.t3.medium", "VolumeSizeInGB": 1}
            },
            "ProcessingInputs": [{"InputName": "data", "S3Input": {**source, "S3InputMode": "File"}}],
            "ProcessingOutputConfig": {"Outputs": [{"OutputName": "data", "S3Output": target}]},
            "Environment": environment,
            "StoppingCondition": {"MaxRuntimeInSeconds": 120},
        }

    def with_input(self, prefix: str) -> str:
        """A new name of a job for which there is an input, ``hello`` in ``day.txt``."""
        name = self.unique(prefix)
        self.put(f"in/{name}/day.txt", "hello")
        return name

    def run_job(self, prefix: str, *arguments: str, **environment: str) -> dict[str, Any]:
        """The description of a new job with an input of its own, once it has ended."""
        name = self.with_input(prefix)
        sagemaker = self.client("sagemaker")
        sagemaker.create_processing_job(**self.job(name, *arguments, **environment))
        return until(
            lambda: sagemaker.describe_processing_job(ProcessingJobName=name),
            lambda job: job["ProcessingJobStatus"] not in ("InProgress", "Stopping"),
        )


def until(
    read: Callable[[], dict[str, Any]], accepted: Callable[[dict[str, Any]], bool], within_seconds: float = 180.0
) -> dict[str, Any]:
    """What ``read`` returns once it is ``accepted``; fails with what was read last."""
    deadline = time.monotonic() + within_seconds
    while not accepted(found := read()):
        assert time.monotonic() < deadline, found
        time.sleep(0.02)
    return found


def _source_zip() -> bytes:
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as archive:
        archive.writestr("Dockerfile", DOCKERFILE)
        archive.writestr("run.py", SCRIPT)
    return body.getvalue()


@pytest.fixture(scope="session")
def site(local_aws: LocalAwsProcess) -> Site:
    """The shared local AWS with its image, which CodeBuild builds from a zip in S3."""
    s3, ecr, codebuild = (local_aws.client(service) for service in ("s3", "ecr", "codebuild"))
    bucket = "amazon-provider"
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="source.zip", Body=_source_zip())
    repository = ecr.create_repository(repositoryName="clients/tiny")["repository"]
    codebuild.create_project(
        name="clients-tiny",
        source={"type": "S3", "location": f"{bucket}/source.zip", "buildspec": BUILDSPEC},
        artifacts={"type": "NO_ARTIFACTS"},
        environment={
            "type": "LINUX_CONTAINER",
            "image": "aws/codebuild/standard:7.0",
            "computeType": "BUILD_GENERAL1_SMALL",
            "privilegedMode": True,
        },
        serviceRole=ROLE_ARN,
    )
    started = codebuild.start_build(projectName="clients-tiny")["build"]
    build = until(
        lambda: codebuild.batch_get_builds(ids=[started["id"]])["builds"][0], lambda one: one["buildComplete"]
    )
    assert build["buildStatus"] == "SUCCEEDED", build
    return Site(local_aws, bucket, f"{repository['repositoryUri']}:one")
