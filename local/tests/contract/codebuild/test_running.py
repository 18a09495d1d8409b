"""CodeBuild runs real buildspecs in a real shell."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from .conftest import ACCOUNT, ENVIRONMENT, ROLE_ARN, Builds, phase, statuses


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
    ("region", "partition", "console"),
    [
        ("us-gov-west-1", "aws-us-gov", "console.amazonaws-us-gov.com"),
        ("cn-north-1", "aws-cn", "console.amazonaws.cn"),
        ("eu-west-1", "aws", "console.aws.amazon.com"),
        ("us-iso-east-1", "aws-iso", "console.aws.amazon.com"),  # it has no public console
    ],
)
def test_a_build_in_another_partition(
    client: Callable[..., Any], name: str, region: str, partition: str, console: str
) -> None:
    """ARNs and the link to the console are those of the region's partition, and roles of it are taken."""
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
    assert build["logs"]["deepLink"].startswith(f"https://{console}/cloudwatch/home?region={region}#")


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
    deadline = time.monotonic() + 60
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
    deadline = time.monotonic() + 60
    while builds.get(build["id"])["currentPhase"] != "BUILD":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    started = time.monotonic()
    stopped = builds.codebuild.stop_build(id=build["id"])["build"]
    assert time.monotonic() - started < 60
    assert stopped["buildStatus"] == "STOPPED"
    assert phase(stopped, "BUILD")["phaseStatus"] == "STOPPED"
    assert "POST_BUILD" not in statuses(stopped)
    assert builds.codebuild.stop_build(id=build["id"])["build"]["buildStatus"] == "STOPPED"
