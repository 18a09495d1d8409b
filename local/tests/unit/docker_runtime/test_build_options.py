"""Reading ``docker build`` command lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from stepbridge_local.errors import UnsupportedCommandError
from stepbridge_local.runtimes.docker.build_options import read_build


def test_every_form_of_an_option() -> None:
    """Values behind a space, an equals sign or a short option; the context may stand anywhere."""
    words = [
        "-tone",
        "--tag",
        "two",
        "--tag=three",
        "--build-arg",
        "A=b=c",
        "--memory",
        "1g",
        ".",
        "--no-cache",
        "-f",
        "D",
    ]
    read = read_build(words, classic=False)
    assert read.tags == ["one", "two", "three"]
    assert read.build_arguments == ["A=b=c"]
    assert read.others == ["--memory=1g", "--no-cache"]
    assert (read.context, read.file) == (".", "D")
    assert read.dockerfile(Path("/src")) == Path("/src/D")
    assert read_build(["sub"], classic=False).dockerfile(Path("/src")) == Path("/src/sub/Dockerfile")


@pytest.mark.parametrize(
    ("classic", "others"), [(True, ["--pull"]), (False, ["--load", "--progress=plain", "--pull"])], ids=str
)
def test_what_only_buildkit_knows(classic: bool, others: list[str]) -> None:
    """It is left out where the engine builds without BuildKit."""
    assert read_build(["--load", "--progress", "plain", "--pull", "."], classic).others == others


@pytest.mark.parametrize(
    "words", [["."] * 2, [], ["-"], ["https://host/repository"], ["-f", "-", "."], ["--push", "."], [".", "--tag"]]
)
def test_what_is_refused(words: list[str]) -> None:
    """Contexts that are not a folder, and pushing past ECR's records."""
    with pytest.raises(UnsupportedCommandError):
        read_build(words, classic=True)
