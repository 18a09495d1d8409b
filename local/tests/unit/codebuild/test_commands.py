"""Reading ``docker`` and ``aws`` command lines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stepbridge_local.errors import UnsupportedCommandError
from stepbridge_local.protocols import CommandCall, Scope
from stepbridge_local.runtimes.docker_commands.parser import (
    BuildImage,
    DockerCommand,
    Login,
    PushImage,
    ShowVersion,
    TagImage,
    parse_docker,
)
from stepbridge_local.services.codebuild.aws_command import AwsCli

HOST = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
UNDERSTOOD: list[tuple[list[str], DockerCommand]] = [
    (["build", "."], BuildImage(".", None, (), ())),
    (["build", "-t", "a:1", "--tag=b", "-f", "x/Dockerfile", "x"], BuildImage("x", "x/Dockerfile", ("a:1", "b"), ())),
    (
        ["build", "--build-arg", "A=1=2", "--build-arg", "B", "--build-arg=C=", "."],
        BuildImage(".", None, (), (("A", "1=2"), ("B", None), ("C", ""))),
    ),
    (["buildx", "build", "--load", "--progress=plain", "-q", "."], BuildImage(".", None, (), (), quiet=True)),
    (["tag", "a", "b:1"], TagImage("a", "b:1")),
    (["push", "a:1"], PushImage("a:1")),
    (["login", "--username", "AWS", "--password-stdin", f"https://{HOST}/"], Login(HOST, "AWS", None)),
    (["login", "-u", "AWS", "-p", "x", HOST], Login(HOST, "AWS", "x")),
    (["--version"], ShowVersion()),
]


@pytest.mark.parametrize(("words", "command"), UNDERSTOOD, ids=[" ".join(row[0])[:60] for row in UNDERSTOOD])
def test_docker_commands(words: list[str], command: DockerCommand) -> None:
    """What builds of images use is understood."""
    assert parse_docker(words) == command


def test_an_option_without_effect_is_noted() -> None:
    """--cache-from is accepted, and the log says that it does nothing."""
    command = parse_docker(["build", "--cache-from", "a:1", "."])
    assert isinstance(command, BuildImage)
    (note,) = command.notes
    assert "--cache-from has no effect" in note


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["run", "a"],
        ["images"],
        ["build"],
        ["build", "--target", "x", "."],
        ["build", "--secret", "id=x", "."],
        ["build", "https://example.org/x.git"],
        ["build", "-"],
        ["push"],
        ["push", "--all-tags", "a"],
        ["login", "-u", "AWS", HOST],
        ["compose", "up"],
    ],
)
def test_docker_commands_that_are_refused(words: list[str]) -> None:
    """Anything else is refused by name."""
    with pytest.raises(UnsupportedCommandError) as caught:
        parse_docker(words)
    assert "docker" in str(caught.value)


class Shown:
    """What a command wrote: texts to standard output, and those to standard error."""

    def __init__(self, *words: str) -> None:
        self.out: list[str] = []
        self.error: list[str] = []
        self.passwords: dict[str, str] = {}
        cli = AwsCli(Scope("123456789012", "us-east-1"), self._digest, self.passwords)
        call = CommandCall("aws", words, {}, "", Path)
        self.status = cli.answer(call, lambda line, error: (self.error if error else self.out).append(line))

    @staticmethod
    def _digest(scope: Scope, repository: str, tag: str) -> str | None:
        return f"sha256:{scope.region}-{repository}" if tag == "there" else None


def test_login_passwords_are_per_region() -> None:
    """get-login-password gives a password and remembers it."""
    shown = Shown("ecr", "get-login-password", "--region", "eu-west-1")
    assert shown.status == 0
    assert shown.passwords == {"eu-west-1": shown.out[0]}


def test_batch_get_image() -> None:
    """Found and missing tags, as JSON or as a query's text."""
    words = ("ecr", "batch-get-image", "--repository-name", "r", "--image-ids", "imageTag=there", "imageTag=gone")
    answer = json.loads("\n".join(Shown(*words).out))
    assert answer["images"][0]["imageId"] == {"imageDigest": "sha256:us-east-1-r", "imageTag": "there"}
    assert answer["failures"][0]["failureCode"] == "ImageNotFound"
    text = ("--query", "images[].imageId.imageDigest", "--output", "text")
    assert Shown(*words, *text).out == ["sha256:us-east-1-r"]
    assert Shown("ecr", "batch-get-image", "--repository-name", "r", "--image-ids", "imageTag=gone", *text).out == []


@pytest.mark.parametrize(
    "words", [("s3", "cp", "a", "b"), ("ecr", "describe-images"), ("ecr", "batch-get-image"), ("sts",), ()]
)
def test_aws_commands_that_are_refused(words: tuple[str, ...]) -> None:
    """Anything else ends with an error that says what there is."""
    shown = Shown(*words)
    assert shown.status == 252
    assert shown.out == []
    assert "aws" in "\n".join(shown.error)
