"""What every client starts from: a bucket, a role and a tiny image that the local AWS itself has built."""

from __future__ import annotations

import io
import itertools
import json
import os
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
"""Write every input in capitals, with what it was told behind it."""
import os, pathlib, sys, time

ml = pathlib.Path("/opt/ml/processing")
time.sleep(float(os.environ.get("SECONDS", "0")))
if "fail" in sys.argv:
    (ml.parent / "output" / "message").write_text("told to fail")
    sys.exit("told to fail")
(ml / "output").mkdir(exist_ok=True)
for source in sorted((ml / "input").glob("*.txt")):
    text = " ".join([source.read_text().upper(), *sys.argv[1:]]) + os.environ.get("SUFFIX", "")
    print(source.name, "->", text, flush=True)
    (ml / "output" / source.name).write_text(text)
'''
# As in AWS's own sample for Docker: https://docs.aws.amazon.com/codebuild/latest/userguide/sample-docker.html
BUILDSPEC = f"""\
version: 0.2
phases:
  pre_build:
    commands:
      - echo Logging in to Amazon ECR...
      - aws ecr get-login-password | docker login --username AWS --password-stdin {REGISTRY}
  build:
    commands:
      - echo Build started on `date`
      - docker build -t $IMAGE_REPO_NAME:$IMAGE_TAG .
      - docker tag $IMAGE_REPO_NAME:$IMAGE_TAG {REGISTRY}/$IMAGE_REPO_NAME:$IMAGE_TAG
  post_build:
    commands:
      - docker push {REGISTRY}/$IMAGE_REPO_NAME:$IMAGE_TAG
"""


@dataclass
class Site:
    """A local AWS with a bucket, a role and an image: what the documentation of any client takes for granted."""

    aws: LocalAwsProcess
    bucket: str
    image_uri: str
    build: dict[str, Any]
    role_arn: str = ROLE_ARN
    _clients: dict[str, Any] = field(default_factory=dict, repr=False)
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def endpoint_url(self) -> str:
        return self.aws.endpoint_url

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a program that talks to the local AWS: what its users export, nothing of the host's."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
        return kept | {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def client(self, service: str, **options: Any) -> Any:
        """A client, the same one for the same service: making one takes longer than most calls."""
        if options:
            return self.aws.client(service, **options)
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

    def run_machine(self, definition: str, execution_input: Any) -> dict[str, Any]:
        """The description of an execution of a new state machine, once it has ended."""
        sfn = self.client("stepfunctions")
        machine = sfn.create_state_machine(name=self.unique("machine"), definition=definition, roleArn=self.role_arn)
        arn = sfn.start_execution(stateMachineArn=machine["stateMachineArn"], input=json.dumps(execution_input))
        return until(
            lambda: sfn.describe_execution(executionArn=arn["executionArn"]),
            lambda execution: execution["status"] != "RUNNING",
        )


def until(
    look: Callable[[], dict[str, Any]], good: Callable[[dict[str, Any]], bool], within_seconds: float = 180.0
) -> dict[str, Any]:
    """What ``look`` gives once ``good`` accepts it; fails with the last thing seen when the time is over."""
    deadline = time.monotonic() + within_seconds
    while not good(seen := look()):
        assert time.monotonic() < deadline, seen
        time.sleep(0.02)
    return seen


def _source_zip() -> bytes:
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as archive:
        archive.writestr("Dockerfile", DOCKERFILE)
        archive.writestr("run.py", SCRIPT)
    return body.getvalue()


@pytest.fixture(scope="session")
def site(local_aws: LocalAwsProcess) -> Site:
    """The shared local AWS with its image, which CodeBuild builds from a zip in S3 as anybody's project would."""
    s3, ecr, codebuild = (local_aws.client(service) for service in ("s3", "ecr", "codebuild"))
    bucket = "clients-of-local-aws"
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
            "environmentVariables": [{"name": "IMAGE_REPO_NAME", "value": "clients/tiny"}],
        },
        serviceRole=ROLE_ARN,
    )
    started = codebuild.start_build(
        projectName="clients-tiny",
        environmentVariablesOverride=[{"name": "IMAGE_TAG", "value": "one"}],
    )["build"]
    build = until(
        lambda: codebuild.batch_get_builds(ids=[started["id"]])["builds"][0], lambda one: one["buildComplete"]
    )
    return Site(local_aws, bucket, f"{repository['repositoryUri']}:one", build)
