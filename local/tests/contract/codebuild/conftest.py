"""Projects, builds and what they wrote, through boto3."""

from __future__ import annotations

import io
import time
import zipfile
from collections.abc import Callable
from typing import Any

import pytest
import yaml

ACCOUNT = "123456789012"
ROLE_ARN = f"arn:aws:iam::{ACCOUNT}:role/build"
REGISTRY = f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com"
ENVIRONMENT = {
    "type": "LINUX_CONTAINER",
    "image": "aws/codebuild/amazonlinux-x86_64-standard:5.0",
    "computeType": "BUILD_GENERAL1_SMALL",
    "privilegedMode": True,
}
IMAGE_BUILD = {
    "pre_build": {
        "commands": [
            f"aws ecr get-login-password --region us-east-1 | docker login --username AWS --password-stdin {REGISTRY}"
        ]
    },
    "build": {
        "commands": ['docker build -t "$IMAGE_URI" --build-arg GREETING="$GREETING" .', 'docker push "$IMAGE_URI"']
    },
}


class Builds:
    """Makes a project with a bucket for its sources, starts builds and follows them."""

    def __init__(self, client: Callable[..., Any], name: str) -> None:
        self.codebuild = client("codebuild")
        self.s3 = client("s3")
        self.logs = client("logs")
        self.ecr = client("ecr")
        self.name = name
        self.s3.create_bucket(Bucket=name)

    def project(self, phases: dict[str, Any] | str, **more: Any) -> str:
        buildspec = phases if isinstance(phases, str) else yaml.safe_dump({"version": 0.2, "phases": phases})
        project: dict[str, Any] = {
            "name": self.name,
            "source": {"type": "S3", "location": f"{self.name}/source.zip", "buildspec": buildspec},
            "artifacts": {"type": "NO_ARTIFACTS"},
            "environment": ENVIRONMENT,
            "serviceRole": ROLE_ARN,
        }
        self.codebuild.create_project(**{**project, **more})
        return self.name

    def upload(self, files: dict[str, str], key: str = "source.zip") -> str:
        body = io.BytesIO()
        with zipfile.ZipFile(body, "w") as archive:
            for path, text in files.items():
                member = zipfile.ZipInfo(path)
                member.external_attr = (0o755 if path.endswith(".sh") else 0o644) << 16
                archive.writestr(member, text)
        self.s3.put_object(Bucket=self.name, Key=key, Body=body.getvalue())
        return f"{self.name}/{key}"

    def run(self, phases: dict[str, Any] | str, files: dict[str, str] | None = None, **start: Any) -> dict[str, Any]:
        """The build of a new project once it has ended."""
        self.upload(files or {"readme": ""})
        self.project(phases)
        return self.end(self.codebuild.start_build(projectName=self.name, **start)["build"]["id"])

    def get(self, build_id: str) -> dict[str, Any]:
        (build,) = self.codebuild.batch_get_builds(ids=[build_id])["builds"]
        return dict(build)

    def end(self, build_id: str, within: float = 180.0) -> dict[str, Any]:
        deadline = time.monotonic() + within
        while True:
            build = self.get(build_id)
            if build["buildComplete"]:
                return build
            if time.monotonic() > deadline:
                pytest.fail(f"not ended within {within} s: {build}\n{self.log(build)}")
            time.sleep(0.02)

    def log(self, build: dict[str, Any]) -> list[str]:
        try:
            found = self.logs.get_log_events(
                logGroupName=build["logs"]["groupName"], logStreamName=build["logs"]["streamName"], startFromHead=True
            )
        except self.logs.exceptions.ResourceNotFoundException:
            return []
        return [event["message"] for event in found["events"]]

    def output(self, build: dict[str, Any]) -> list[str]:
        """What the build's commands wrote."""
        return [line for line in self.log(build) if not line.startswith("[Container]")]


@pytest.fixture
def builds(client: Callable[..., Any], name: str) -> Builds:
    return Builds(client, name)


def phase(build: dict[str, Any], kind: str) -> dict[str, Any]:
    return next((one for one in build["phases"] if one["phaseType"] == kind), {})


def statuses(build: dict[str, Any]) -> dict[str, str]:
    return {one["phaseType"]: one.get("phaseStatus", "") for one in build["phases"]}


def variables(**values: str) -> list[dict[str, str]]:
    return [{"name": name, "value": value, "type": "PLAINTEXT"} for name, value in values.items()]
