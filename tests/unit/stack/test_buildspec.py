"""The buildspec's commands, run by a real shell with recorders in place of docker and aws."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

REPOSITORY = "111122223333.dkr.ecr.eu-west-1.amazonaws.com/s-models"

# Writes its arguments as a JSON line, does what the behaviour file says for its first words, reads stdin when asked to.
RECORDER = """#!{python}
import json, pathlib, sys
folder = pathlib.Path({folder!r})
name, words = pathlib.Path(sys.argv[0]).name, sys.argv[1:]
stdin = sys.stdin.read() if "--password-stdin" in words else ""
with (folder / "calls").open("a") as calls:
    calls.write(json.dumps([name, *words, *([stdin.strip()] if stdin else [])]) + "\\n")
behaviour = json.loads((folder / "behaviour").read_text())
if '"docker", "push"' in (folder / "calls").read_text():
    behaviour |= behaviour.get("after the push", {{}})
output, code = behaviour.get(" ".join([name, *words[:2]])) or behaviour.get(" ".join([name, *words[:1]])) or ["", 0]
print(output, end="")
sys.exit(code)
"""


@dataclass(frozen=True)
class BuildRun:
    """A build that ended: the exit code of its last command, the calls, and the output."""

    code: int
    calls: list[list[str]]
    output: str

    def called(self, *words: str) -> list[list[str]]:
        return [call for call in self.calls if call[: len(words)] == list(words)]


class BuildProject:
    """A source folder and a PATH with recorders."""

    def __init__(self, folder: Path, buildspec: dict[str, Any]) -> None:
        self.context = folder / "context"
        self.context.mkdir()
        (self.context / "Dockerfile").write_text("FROM python:3.11\n")
        self._folder = folder
        self._buildspec = buildspec
        self._bin = folder / "bin"
        self._bin.mkdir()
        for name in ("docker", "aws"):
            script = self._bin / name
            script.write_text(RECORDER.format(python=sys.executable, folder=str(folder)))
            script.chmod(script.stat().st_mode | stat.S_IXUSR)
        (self._bin / "python3").symlink_to(sys.executable)

    def run(self, behaviour: dict[str, Any] | None = None, **environment: str) -> BuildRun:
        """Runs phase after phase as CodeBuild does: a command that fails ends the build."""
        answers = {"aws ecr get-login-password": ("secret", 0), "aws ecr batch-get-image": ("", 0)} | (behaviour or {})
        (self._folder / "behaviour").write_text(json.dumps(answers))
        variables = {"IMAGE_REPOSITORY_URI": REPOSITORY, "IMAGE_TAG": "m-1", "DOCKERFILE": "Dockerfile"} | environment
        path = f"{self._bin}:{os.environ['PATH']}"
        output, code = "", 0
        for phase in ("pre_build", "build"):
            assert self._buildspec["phases"][phase]["on-failure"] == "ABORT"
            for command in self._buildspec["phases"][phase]["commands"]:
                done = subprocess.run(
                    ["sh", "-c", command],
                    cwd=self.context,
                    env=variables | {"PATH": path},
                    capture_output=True,
                    text=True,
                    check=False,
                )
                output, code = output + done.stdout + done.stderr, done.returncode
                if code:
                    break
            if code:
                break
        calls = self._folder / "calls"
        return BuildRun(code, [json.loads(x) for x in calls.read_text().splitlines()] if calls.exists() else [], output)


@pytest.fixture
def project(tmp_path: Path, template: dict[str, Any]) -> BuildProject:
    source = template["Resources"]["BuildProject"]["Properties"]["Source"]
    return BuildProject(tmp_path, yaml.safe_load(source["BuildSpec"]))


def test_a_build_logs_in_builds_and_pushes(project: BuildProject) -> None:
    """The image is built under the tag that is asked for and pushed to the stack's repository."""
    run = project.run()
    assert run.code == 0, run.output
    registry = REPOSITORY.partition("/")[0]
    assert run.called("docker", "login") == [
        ["docker", "login", "--username", "AWS", "--password-stdin", registry, "secret"]
    ]
    assert run.called("docker", "build") == [
        ["docker", "build", "--tag", f"{REPOSITORY}:m-1", "--file", "Dockerfile", "."]
    ]
    assert run.called("docker", "push") == [["docker", "push", f"{REPOSITORY}:m-1"]]
    assert "secret" not in run.output


def test_registries_that_the_dockerfile_starts_from_are_logged_in_to(project: BuildProject) -> None:
    """Each with a password of its own region."""
    base = "683313688378.dkr.ecr.us-east-1.amazonaws.com"
    (project.context / "Dockerfile").write_text(f"FROM {base}/sagemaker-scikit-learn:1.2-1-cpu-py3\nFROM {base}/x:1\n")
    run = project.run()
    assert [call[5] for call in run.called("docker", "login")] == [REPOSITORY.partition("/")[0], base]
    assert [call[-1] for call in run.called("aws", "ecr", "get-login-password")] == ["eu-west-1", "us-east-1"]


def test_build_arguments_reach_docker_as_they_are(project: BuildProject) -> None:
    """Quotes, spaces, line ends, options and commands of a shell are only text."""
    arguments = {"A": 'it\'s "quoted"', "B": "$(touch /tmp/x); `id` --push", "C": "two\nlines", "D": "", "E": "ä"}
    run = project.run(BUILD_ARGS=json.dumps(arguments))
    assert run.code == 0, run.output
    (build,) = run.called("docker", "build")
    given = [build[i + 1] for i, word in enumerate(build) if word == "--build-arg"]
    assert given == [f"{name}={value}" for name, value in arguments.items()]


@pytest.mark.parametrize("arguments", ["{", "[]", '"text"', '{"--x": "1"}', '{"A B": "1"}', '{"A": 1}', '{"A": null}'])
def test_build_arguments_that_are_none_fail_the_build(project: BuildProject, arguments: str) -> None:
    """BUILD_ARGS must be an object of names and strings; nothing is built otherwise."""
    run = project.run(BUILD_ARGS=arguments)
    assert run.code != 0
    assert "BUILD_ARGS: " in run.output
    assert run.called("docker", "build") == run.called("docker", "push") == []


def test_a_dockerfile_in_a_folder_with_spaces_is_found(project: BuildProject) -> None:
    """DOCKERFILE is a path, not a piece of a command line."""
    (project.context / "my files").mkdir()
    (project.context / "my files" / "Dockerfile.gpu").write_text("FROM python:3.11\n")
    run = project.run(DOCKERFILE="my files/Dockerfile.gpu")
    assert run.code == 0, run.output
    assert "my files/Dockerfile.gpu" in run.called("docker", "build")[0]


def test_a_missing_dockerfile_is_named(project: BuildProject) -> None:
    """The build ends before anything is logged in to."""
    run = project.run(DOCKERFILE="elsewhere/Dockerfile")
    assert run.code != 0
    assert "elsewhere/Dockerfile: not in the build context" in run.output
    assert run.calls == []


def test_a_missing_tag_is_named(project: BuildProject) -> None:
    """A build that was started without its environment says what is missing."""
    run = project.run(IMAGE_TAG="")
    assert run.code != 0
    assert "expected the tag under which the image is pushed" in run.output


def test_an_image_that_is_there_is_not_built_again(project: BuildProject) -> None:
    """A tag stands for one build context, so its image is the one that would be built."""
    run = project.run({"aws ecr batch-get-image": ("sha256:1234\n", 0)})
    assert run.code == 0, run.output
    assert "is there already, as sha256:1234" in run.output
    assert run.called("docker", "build") == run.called("docker", "push") == []


@pytest.mark.parametrize(
    "failing",
    ["aws ecr get-login-password", "docker login", "aws ecr batch-get-image", "docker build", "docker push"],
)
def test_a_step_that_fails_fails_the_build(project: BuildProject, failing: str) -> None:
    """Whatever fails, the build does, and nothing that comes after it runs."""
    run = project.run({failing: ("", 7)})
    assert run.code != 0, run.output
    order = ["aws ecr get-login-password", "docker login", "aws ecr batch-get-image", "docker build", "docker push"]
    after = order[order.index(failing) + 1 :]
    assert [step for step in after if run.called(*step.split())] == []


def test_a_push_that_another_build_was_faster_with_is_no_failure(project: BuildProject) -> None:
    """Tags are immutable: the second push of one tag is refused, and the image that is there is the right one."""
    run = project.run({"docker push": ("", 1), "after the push": {"aws ecr batch-get-image": ("sha256:5678", 0)}})
    assert run.code == 0, run.output
    assert "pushed by another build meanwhile, as sha256:5678" in run.output


def test_a_build_out_of_memory_says_so(project: BuildProject) -> None:
    """Exit code 137 alone means nothing to most people."""
    run = project.run({"docker build": ("", 137)})
    assert run.code == 137
    assert "out of memory" in run.output
    assert "BuildComputeType" in run.output
