"""How builds fail in CodeBuild, and what the phase says of it."""

from __future__ import annotations

import pytest

from .conftest import Builds, phase, statuses


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
