"""Projects, lists of builds, and builds that end with the local AWS."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from stepbridge_local.testing import LocalAwsProcess

from .conftest import ACCOUNT, ENVIRONMENT, ROLE_ARN, Builds


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


def test_a_vpc_is_described(builds: Builds) -> None:
    """It is stored, and has no effect."""
    vpc = {"vpcId": "vpc-1", "subnets": ["subnet-1"], "securityGroupIds": ["sg-1"]}
    name = builds.project({"build": {"commands": ["ls"]}}, vpcConfig=vpc)
    (project,) = builds.codebuild.batch_get_projects(names=[name])["projects"]
    assert project["vpcConfig"] == vpc


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
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.05)
