"""CodeBuild through boto3: real buildspecs in a real shell, images into the local ECR."""

from __future__ import annotations

import contextlib
import io
import os
import re
import signal
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from botocore.exceptions import ClientError

from stepbridge_local.testing import LocalAwsProcess

ACCOUNT = "123456789012"
ROLE_ARN = f"arn:aws:iam::{ACCOUNT}:role/build"
REGISTRY = f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com"
ENVIRONMENT = {
    "type": "LINUX_CONTAINER",
    "image": "aws/codebuild/amazonlinux-x86_64-standard:5.0",
    "computeType": "BUILD_GENERAL1_SMALL",
    "privilegedMode": True,
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

    def end(self, build_id: str, within: float = 60.0) -> dict[str, Any]:
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


# --- running ----------------------------------------------------------------------------------------------------------
def test_a_build_runs_its_phases_in_order(builds: Builds) -> None:
    """The phases run in the unpacked source and have their times; the log is in CloudWatch Logs."""
    build = builds.run(
        {
            "install": {"commands": ["echo installing"]},
            "pre_build": {"commands": ["cat data.txt"]},
            "build": {"commands": ["./run.sh one 'two three'", "printf 'no line end'"]},
            "post_build": {"commands": ["echo $CODEBUILD_BUILD_SUCCEEDING"]},
        },
        {"data.txt": "from the zip", "run.sh": '#!/bin/sh\necho "ran $1-$2"\n'},
    )
    assert build["buildStatus"] == "SUCCEEDED", builds.log(build)
    assert builds.output(build) == ["installing", "from the zip", "ran one-two three", "no line end", "1"]
    assert list(statuses(build)) == [
        "SUBMITTED", "QUEUED", "PROVISIONING", "DOWNLOAD_SOURCE", "INSTALL", "PRE_BUILD", "BUILD", "POST_BUILD",
        "UPLOAD_ARTIFACTS", "FINALIZING", "COMPLETED",
    ]  # fmt: skip
    assert set(statuses(build).values()) == {"SUCCEEDED", ""}
    assert build["currentPhase"] == "COMPLETED"
    assert build["endTime"] >= build["startTime"]
    assert all(one["durationInSeconds"] >= 0 for one in build["phases"][:-1])
    unique = build["id"].split(":")[1]
    assert build["logs"]["groupName"] == f"/aws/codebuild/{builds.name}"
    assert build["logs"]["streamName"] == unique
    assert build["logs"]["deepLink"].startswith("https://console.aws.amazon.com/")
    assert build["arn"] == f"arn:aws:codebuild:us-east-1:{ACCOUNT}:build/{build['id']}"
    assert any(re.search(r"\[Container\] .* Entering phase BUILD$", line) for line in builds.log(build))


@pytest.mark.parametrize(
    ("region", "partition"), [("us-gov-west-1", "aws-us-gov"), ("cn-north-1", "aws-cn"), ("eu-west-1", "aws")]
)
def test_a_build_in_another_partition(client: Callable[..., Any], name: str, region: str, partition: str) -> None:
    """ARNs are those of the region's partition, and roles of it are taken."""
    codebuild = client("codebuild", region_name=region)
    project = codebuild.create_project(
        name=name,
        source={"type": "NO_SOURCE", "buildspec": "version: 0.2\nphases: {build: {commands: ['true']}}"},
        artifacts={"type": "NO_ARTIFACTS"},
        environment=ENVIRONMENT,
        serviceRole=ROLE_ARN.replace("arn:aws:", f"arn:{partition}:"),
    )["project"]
    build = codebuild.start_build(projectName=name)["build"]
    for arn in (project["arn"], project["encryptionKey"], build["arn"], build["logs"]["cloudWatchLogsArn"]):
        assert arn.startswith(f"arn:{partition}:")


def test_commands_share_one_shell(builds: Builds) -> None:
    """Variables, functions and the folder carry over from command to command and from phase to phase."""
    build = builds.run(
        {
            "pre_build": {"commands": ["value=1; greet() { echo hello $1; }", "mkdir deep && cd deep", "export OUT=2"]},
            "build": {"commands": ["echo $value $OUT $(basename $PWD)", "greet you"]},
        }
    )
    assert builds.output(build) == ["1 2 deep", "hello you"]


def test_environment(builds: Builds) -> None:
    """Variables of buildspec, project and StartBuild, the later ones first; CODEBUILD_*; nothing of the host."""
    builds.upload({"readme": ""})
    builds.project(
        yaml.safe_dump(
            {
                "version": 0.2,
                "env": {"variables": {"A": "spec", "B": "spec", "C": "spec"}, "exported-variables": ["RESULT"]},
                "phases": {"build": {"commands": ["env | sort", 'export RESULT="$A-$B-$C"']}},
            }
        ),
        environment={
            **ENVIRONMENT,
            "environmentVariables": [{"name": "B", "value": "project"}, {"name": "C", "value": "project"}],
        },
    )
    override = [{"name": "C", "value": 'it\'s "start"', "type": "PLAINTEXT"}]
    build = builds.end(
        builds.codebuild.start_build(projectName=builds.name, environmentVariablesOverride=override)["build"]["id"]
    )
    seen = dict(line.split("=", 1) for line in builds.output(build))
    assert (seen["A"], seen["B"], seen["C"]) == ("spec", "project", 'it\'s "start"')
    assert seen["CODEBUILD_BUILD_ID"] == build["id"]
    assert seen["CODEBUILD_BUILD_NUMBER"] == "1"
    assert seen["AWS_DEFAULT_REGION"] == seen["AWS_REGION"] == "us-east-1"
    assert seen["PWD"] == seen["CODEBUILD_SRC_DIR"]
    assert not [name for name in seen if name.startswith("AWS_") and name not in ("AWS_DEFAULT_REGION", "AWS_REGION")]
    assert build["exportedEnvironmentVariables"] == [{"name": "RESULT", "value": 'spec-project-it\'s "start"'}]
    variables = {variable["name"]: variable["value"] for variable in build["environment"]["environmentVariables"]}
    assert variables == {"B": "project", "C": 'it\'s "start"'}


def test_overrides_of_source_and_image_are_kept(builds: Builds) -> None:
    """StartBuild's source, buildspec and image take the place of the project's, for this build."""
    location = builds.upload(
        {"other.txt": "other source", "spec/other.yml": "version: 0.2\nphases: {build: {commands: [cat other.txt]}}"},
        "o.zip",
    )
    build = builds.run(
        {"build": {"commands": ["exit 9"]}},
        sourceTypeOverride="S3",
        sourceLocationOverride=location,
        buildspecOverride="spec/other.yml",
        imageOverride="some/image:1",
    )
    assert build["buildStatus"] == "SUCCEEDED", builds.log(build)
    assert builds.output(build) == ["other source"]
    assert build["source"]["location"] == location
    assert build["environment"]["image"] == "some/image:1"
    (project,) = builds.codebuild.batch_get_projects(names=[builds.name])["projects"]
    assert project["source"]["location"] == f"{builds.name}/source.zip"


def test_the_log_can_be_read_while_the_build_runs(builds: Builds) -> None:
    """Lines appear as they are written."""
    builds.upload({"readme": ""})
    builds.project({"build": {"commands": ["echo early", "sleep 60"]}})
    build = builds.codebuild.start_build(projectName=builds.name)["build"]
    deadline = time.monotonic() + 20
    while "early" not in builds.log(build):
        assert time.monotonic() < deadline, builds.log(build)
        time.sleep(0.05)
    assert builds.get(build["id"])["buildStatus"] == "IN_PROGRESS"
    assert builds.get(build["id"])["currentPhase"] == "BUILD"
    builds.codebuild.stop_build(id=build["id"])


def test_stop_build_kills_what_runs(builds: Builds) -> None:
    """STOPPED at once, in the phase that ran."""
    builds.upload({"readme": ""})
    builds.project({"build": {"commands": ["sleep 300"]}, "post_build": {"commands": ["echo never"]}})
    build = builds.codebuild.start_build(projectName=builds.name)["build"]
    deadline = time.monotonic() + 20
    while builds.get(build["id"])["currentPhase"] != "BUILD":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    started = time.monotonic()
    stopped = builds.codebuild.stop_build(id=build["id"])["build"]
    assert time.monotonic() - started < 5
    assert stopped["buildStatus"] == "STOPPED"
    assert phase(stopped, "BUILD")["phaseStatus"] == "STOPPED"
    assert "POST_BUILD" not in statuses(stopped)
    assert builds.codebuild.stop_build(id=build["id"])["build"]["buildStatus"] == "STOPPED"


# --- failures ---------------------------------------------------------------------------------------------------------
def test_a_failed_command_fails_the_build_and_post_build_still_runs(builds: Builds) -> None:
    """The phase tells command and exit code; post_build knows of it; later commands of the phase do not run."""
    build = builds.run(
        {
            "build": {"commands": ["echo before", "sh -c 'exit 3'", "echo after"], "finally": ["echo cleaned"]},
            "post_build": {"commands": ["echo succeeding=$CODEBUILD_BUILD_SUCCEEDING"]},
        }
    )
    assert build["buildStatus"] == "FAILED"
    failed = phase(build, "BUILD")
    assert failed["phaseStatus"] == "FAILED"
    assert failed["contexts"] == [
        {
            "statusCode": "COMMAND_EXECUTION_ERROR",
            "message": "Error while executing command: sh -c 'exit 3'. Reason: exit status 3",
        }
    ]
    assert phase(build, "POST_BUILD")["phaseStatus"] == "SUCCEEDED"
    assert builds.output(build) == ["before", "cleaned", "succeeding=0"]


@pytest.mark.parametrize("kind", ["install", "pre_build"])
def test_a_failure_before_the_build_ends_it(builds: Builds, kind: str) -> None:
    """After a failed install or pre_build nothing else runs."""
    build = builds.run({kind: {"commands": ["false"]}, "build": {"commands": ["echo never"]}})
    assert build["buildStatus"] == "FAILED"
    assert phase(build, kind.upper())["phaseStatus"] == "FAILED"
    assert "BUILD" not in statuses(build)
    assert builds.output(build) == []


def test_on_failure_decides_what_follows(builds: Builds) -> None:
    """CONTINUE goes on after pre_build, ABORT ends after build."""
    build = builds.run(
        {
            "pre_build": {"on-failure": "CONTINUE", "commands": ["false"]},
            "build": {"on-failure": "ABORT", "commands": ["echo went on", "exit 7"]},
            "post_build": {"commands": ["echo never"]},
        }
    )
    assert build["buildStatus"] == "FAILED"
    assert builds.output(build) == ["went on"]
    assert phase(build, "BUILD")["contexts"][0]["message"].endswith("Reason: exit status 7")
    assert "POST_BUILD" not in statuses(build)


def test_set_e_holds_for_the_commands_after_it(builds: Builds) -> None:
    """A shell that ended with ``set -e`` is a failed command, and post_build gets a new one."""
    build = builds.run(
        {
            "build": {"commands": ["set -eu", "false; echo never"]},
            "post_build": {"commands": ["echo $CODEBUILD_BUILD_SUCCEEDING $(basename $PWD)"]},
        }
    )
    assert phase(build, "BUILD")["contexts"][0]["message"].endswith("Reason: exit status 1")
    assert builds.output(build) == ["0 src"]


@pytest.mark.parametrize(
    ("buildspec", "message"),
    [
        ("version: 0.2\nphases: [", "not YAML"),
        ("version: 0.1\nphases: {build: {commands: [ls]}}", "version: found 0.1; expected 0.2"),
        ("version: 0.2\nphases: {biuld: {commands: [ls]}}", "phases.biuld: not available here"),
        ("version: 0.2\nphases: {build: {commands: ls}}", "phases.build.commands: a str; expected a list"),
        ("version: 0.2\nreports: {}\nphases: {build: {commands: [ls]}}", "reports: not available here"),
        ("missing.yml", "missing.yml: not in the source"),
    ],
)
def test_a_bad_buildspec(builds: Builds, buildspec: str, message: str) -> None:
    """YAML_FILE_ERROR in DOWNLOAD_SOURCE, with what is wrong."""
    build = builds.run(buildspec)
    assert build["buildStatus"] == "FAILED"
    (context,) = phase(build, "DOWNLOAD_SOURCE")["contexts"]
    assert context["statusCode"] == "YAML_FILE_ERROR"
    assert message in context["message"]


def test_a_missing_source(builds: Builds) -> None:
    """CLIENT_ERROR in DOWNLOAD_SOURCE, naming the object."""
    builds.project({"build": {"commands": ["ls"]}})
    build = builds.end(builds.codebuild.start_build(projectName=builds.name)["build"]["id"])
    (context,) = phase(build, "DOWNLOAD_SOURCE")["contexts"]
    assert (build["buildStatus"], context["statusCode"]) == ("FAILED", "CLIENT_ERROR")
    assert f"s3://{builds.name}/source.zip" in context["message"]


def test_a_zip_that_leads_out_of_its_folder(builds: Builds) -> None:
    """No file is written outside of the source folder."""
    build = builds.run({"build": {"commands": ["ls"]}}, {"../escaped": "x"})
    assert build["buildStatus"] == "FAILED"
    assert "leads out of the source folder" in phase(build, "DOWNLOAD_SOURCE")["contexts"][0]["message"]


# --- images -----------------------------------------------------------------------------------------------------------
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
DOCKERFILE = """\
FROM python:3.11
ARG GREETING=none
ENV GREETING=$GREETING
COPY hello.py /app/hello.py
CMD ["python", "/app/hello.py"]
"""


def variables(**values: str) -> list[dict[str, str]]:
    return [{"name": name, "value": value, "type": "PLAINTEXT"} for name, value in values.items()]


def test_an_image_is_built_and_pushed(builds: Builds) -> None:
    """The image is in ECR under its tag, with the digest that docker push printed."""
    builds.ecr.create_repository(repositoryName=builds.name)
    uri = f"{REGISTRY}/{builds.name}:v1"
    build = builds.run(
        IMAGE_BUILD,
        {"Dockerfile": DOCKERFILE, "hello.py": "print('hi')"},
        environmentVariablesOverride=variables(IMAGE_URI=uri, GREETING='it\'s "me"'),
    )
    assert build["buildStatus"] == "SUCCEEDED", builds.log(build)
    (image,) = builds.ecr.describe_images(repositoryName=builds.name)["imageDetails"]
    assert image["imageTags"] == ["v1"]
    output = builds.output(build)
    assert "Login Succeeded" in output
    (pushed,) = [line for line in output if line.startswith("v1: digest: ")]
    assert re.fullmatch(rf"v1: digest: {image['imageDigest']} size: \d+", pushed)


def test_a_dockerfile_that_cannot_be_honoured_fails_the_build(builds: Builds) -> None:
    """The log tells file, line and instruction; nothing is pushed."""
    builds.ecr.create_repository(repositoryName=builds.name)
    build = builds.run(
        IMAGE_BUILD,
        {"Dockerfile": "FROM python:3.11\nRUN apt-get install -y gcc\n"},
        environmentVariablesOverride=variables(IMAGE_URI=f"{REGISTRY}/{builds.name}:v1", GREETING=""),
    )
    assert build["buildStatus"] == "FAILED"
    assert phase(build, "BUILD")["contexts"][0]["message"].endswith("Reason: exit status 1")
    log = "\n".join(builds.output(build))
    assert "Dockerfile:2" in log
    assert builds.ecr.describe_images(repositoryName=builds.name)["imageDetails"] == []


REFUSED = [
    ("docker images", 125, "docker images: not available in builds of the local AWS"),
    ("docker build --squash .", 125, "unrecognized arguments: --squash"),
    ("docker build --platform linux/arm64 .", 125, "expected linux/amd64"),
    (f"docker push {REGISTRY}/nobody:1", 1, "An image does not exist locally with the tag"),
    (f"echo wrong | docker login --username AWS --password-stdin {REGISTRY}", 1, "400 Bad Request"),
    ("docker login -u me -p secret docker.io", 125, "expected a registry of ECR"),
    ("aws s3 ls", 252, "aws s3 ls: not available in builds of the local AWS"),
    ("aws ecr batch-get-image --repository-name nobody --image-ids imageTag=x", 254, "RepositoryNotFoundException"),
]


@pytest.mark.parametrize(("command", "status", "text"), REFUSED, ids=[row[0][:40] for row in REFUSED])
def test_commands_that_are_refused(builds: Builds, command: str, status: int, text: str) -> None:
    """An unsupported command fails the build with a line that says so."""
    build = builds.run({"build": {"commands": [command]}})
    assert phase(build, "BUILD")["contexts"][0]["message"].endswith(f"Reason: exit status {status}")
    assert text in "\n".join(builds.output(build))


def test_pushing_needs_a_login(builds: Builds) -> None:
    """As with Docker and ECR, an image cannot be pushed before docker login."""
    builds.ecr.create_repository(repositoryName=builds.name)
    uri = f"{REGISTRY}/{builds.name}:v1"
    commands = [f"docker build -t local -f sub/Dockerfile sub && docker tag local:latest {uri}", f"docker push {uri}"]
    build = builds.run({"build": {"commands": commands}}, {"sub/Dockerfile": "FROM python:3.11\n"})
    assert build["buildStatus"] == "FAILED"
    assert "no basic auth credentials" in builds.output(build)


# --- projects and lists -----------------------------------------------------------------------------------------------
def test_projects(builds: Builds) -> None:
    """Create, update, get, list and delete."""
    builds.project({"build": {"commands": ["ls"]}}, description="first")
    with pytest.raises(ClientError, match="ResourceAlreadyExistsException"):
        builds.project({"build": {"commands": ["ls"]}})
    updated = builds.codebuild.update_project(name=builds.name, description="second", timeoutInMinutes=7)["project"]
    assert (updated["description"], updated["timeoutInMinutes"]) == ("second", 7)
    assert updated["source"]["type"] == "S3"
    answer = builds.codebuild.batch_get_projects(names=[builds.name, "nobody"])
    assert [project["description"] for project in answer["projects"]] == ["second"]
    assert answer["projectsNotFound"] == ["nobody"]
    assert answer["projects"][0]["arn"] == f"arn:aws:codebuild:us-east-1:{ACCOUNT}:project/{builds.name}"
    assert builds.name in builds.codebuild.list_projects()["projects"]
    builds.codebuild.delete_project(name=builds.name)
    assert builds.codebuild.batch_get_projects(names=[builds.name])["projects"] == []
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        builds.codebuild.start_build(projectName=builds.name)


def test_lists_of_builds(builds: Builds) -> None:
    """Newest first, numbered from one, per project; unknown ids are named."""
    builds.upload({"readme": ""})
    builds.project({"build": {"commands": ["true"]}})
    ids = [builds.codebuild.start_build(projectName=builds.name)["build"]["id"] for _ in range(3)]
    ended = [builds.end(build_id) for build_id in ids]
    assert [build["buildNumber"] for build in ended] == [1, 2, 3]
    listed = builds.codebuild.list_builds_for_project(projectName=builds.name)["ids"]
    assert listed == ids[::-1]
    ascending = builds.codebuild.list_builds_for_project(projectName=builds.name, sortOrder="ASCENDING")["ids"]
    assert ascending == ids
    assert set(ids) <= set(builds.codebuild.list_builds()["ids"])
    unknown = f"{builds.name}:00000000-0000-0000-0000-000000000000"
    assert builds.codebuild.batch_get_builds(ids=[unknown])["buildsNotFound"] == [unknown]
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        builds.codebuild.stop_build(id=unknown)


def test_an_idempotency_token_starts_one_build(builds: Builds) -> None:
    """The same token again gives the same build."""
    builds.upload({"readme": ""})
    builds.project({"build": {"commands": ["true"]}})
    first, second = (
        builds.codebuild.start_build(projectName=builds.name, idempotencyToken="t")["build"]["id"] for _ in range(2)
    )
    assert first == second


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"source": {"type": "GITHUB", "location": "x"}}, "source.type"),
        ({"artifacts": {"type": "S3", "location": "x"}}, "artifacts.type"),
        ({"environment": {**ENVIRONMENT, "type": "WINDOWS_CONTAINER"}}, "environment.type"),
        ({"serviceRole": "role"}, "serviceRole"),
        ({"vpcConfig": {"vpcId": "vpc-1"}}, "vpcConfig"),
    ],
)
def test_what_the_local_aws_cannot_do_is_refused(builds: Builds, change: dict[str, Any], text: str) -> None:
    """InvalidInputException naming the member, when the project is made."""
    with pytest.raises(ClientError, match="InvalidInputException") as caught:
        builds.project({"build": {"commands": ["ls"]}}, **change)
    assert text in str(caught.value)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_of_a_build_outlives_the_local_aws(own_local_aws: LocalAwsProcess, number: int) -> None:
    """However the local AWS ends, the commands of its builds end with it."""
    codebuild = own_local_aws.client("codebuild")
    seconds = f"{300 + number}.{os.getpid()}"
    buildspec = f"version: 0.2\nphases: {{build: {{commands: ['sleep {seconds} & wait']}}}}\n"
    codebuild.create_project(
        name="orphans",
        source={"type": "NO_SOURCE", "buildspec": buildspec},
        artifacts={"type": "NO_ARTIFACTS"},
        environment=ENVIRONMENT,
        serviceRole=ROLE_ARN,
    )
    codebuild.start_build(projectName="orphans")
    until(lambda: running(f"sleep {seconds}"), "the command does not run")
    own_local_aws.stop(number)
    until(lambda: not running(f"sleep {seconds}"), "the command still runs")


def running(command: str) -> bool:
    """Whether a process with this command line is there."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it ended just now
            if path.read_bytes().replace(b"\0", b" ").strip() == command.encode():
                return True
    return False


def until(holds: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.05)
