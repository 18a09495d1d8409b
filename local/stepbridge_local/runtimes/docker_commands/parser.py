"""Parses ``docker`` command lines. Commands and options that the local AWS does not have are refused by name."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Never

from stepbridge_local.errors import UnsupportedCommandError

__all__ = ["BuildImage", "DockerCommand", "Login", "PushImage", "ShowVersion", "TagImage", "parse_docker"]

_LONG_FORMS: Final = {
    ("buildx", "build"),
    ("image", "build"),
    ("image", "push"),
    ("image", "tag"),
    ("builder", "build"),
}
AVAILABLE: Final = "docker build, docker tag, docker push, docker login and docker --version"


@dataclass(frozen=True)
class BuildImage:
    """``docker build``. ``dockerfile`` None is the Dockerfile of the context; ``notes`` are for the log."""

    context: str
    dockerfile: str | None
    tags: tuple[str, ...]
    build_args: tuple[tuple[str, str | None], ...]  # None takes the value from the build's environment
    quiet: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class TagImage:
    source: str
    target: str


@dataclass(frozen=True)
class PushImage:
    image: str


@dataclass(frozen=True)
class Login:
    """``docker login``; ``password`` None comes from standard input."""

    registry: str
    username: str
    password: str | None


@dataclass(frozen=True)
class ShowVersion:
    pass


DockerCommand = BuildImage | TagImage | PushImage | Login | ShowVersion


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Never:
        raise UnsupportedCommandError(self.prog, message, "", f"the local AWS has {AVAILABLE}")


def parse_docker(arguments: Sequence[str]) -> DockerCommand:
    """Raises UnsupportedCommandError."""
    words = list(arguments)
    if tuple(words[:2]) in _LONG_FORMS:
        words = words[1:]
    readers: dict[str, Callable[[list[str]], DockerCommand]] = {
        "build": _read_build,
        "tag": _read_tag,
        "push": _read_push,
        "login": _read_login,
    }
    if words in (["--version"], ["-v"], ["version"]):
        return ShowVersion()
    if not words or words[0] not in readers:
        raise UnsupportedCommandError(
            "docker " + " ".join(words), "not available in builds of the local AWS", AVAILABLE, "run it on AWS itself"
        )
    return readers[words[0]](words[1:])


def _parser(command: str) -> _Parser:
    return _Parser(prog=f"docker {command}", add_help=False, allow_abbrev=False)


def _read_build(words: list[str]) -> BuildImage:
    parser = _parser("build")
    parser.add_argument("context")
    parser.add_argument("-t", "--tag", action="append", default=[])
    parser.add_argument("-f", "--file")
    parser.add_argument("--build-arg", action="append", default=[])
    parser.add_argument("-q", "--quiet", action="store_true")
    parser.add_argument("--load", action="store_true")
    # Accepted because they affect how an image is built, but not its content.
    parser.add_argument("--progress")
    parser.add_argument("--cache-from", action="append", default=[])
    parser.add_argument("--cache-to", action="append", default=[])
    parser.add_argument("--pull", action="store_true")
    parser.add_argument("--rm", action="store_true")
    parser.add_argument("--provenance")
    parser.add_argument("--sbom")
    parser.add_argument("--platform")
    read = parser.parse_args(words)
    if read.platform not in (None, "linux/amd64"):
        raise UnsupportedCommandError(
            "docker build --platform", repr(read.platform), "linux/amd64, as CodeBuild's builds are"
        )
    if read.context == "-" or "://" in read.context:
        raise UnsupportedCommandError("docker build", f"the context {read.context!r}", "a folder of the source")
    notes = [
        f"note: {option} has no effect in the local AWS, which keeps unchanged layers by their content"
        for option, used in (("--cache-from", read.cache_from), ("--cache-to", read.cache_to), ("--pull", read.pull))
        if used
    ]
    return BuildImage(
        context=read.context,
        dockerfile=read.file,
        tags=tuple(read.tag),
        build_args=tuple(_argument(text) for text in read.build_arg),
        quiet=read.quiet,
        notes=tuple(notes),
    )


def _argument(text: str) -> tuple[str, str | None]:
    name, equals, value = text.partition("=")
    return name, value if equals else None


def _read_tag(words: list[str]) -> TagImage:
    parser = _parser("tag")
    parser.add_argument("source")
    parser.add_argument("target")
    read = parser.parse_args(words)
    return TagImage(read.source, read.target)


def _read_push(words: list[str]) -> PushImage:
    parser = _parser("push")
    parser.add_argument("image")
    parser.add_argument("-q", "--quiet", action="store_true")
    return PushImage(parser.parse_args(words).image)


def _read_login(words: list[str]) -> Login:
    parser = _parser("login")
    parser.add_argument("-u", "--username", required=True)
    parser.add_argument("-p", "--password")
    parser.add_argument("--password-stdin", action="store_true")
    parser.add_argument("registry", nargs="?", default="docker.io")
    read = parser.parse_args(words)
    if (read.password is None) != read.password_stdin:
        parser.error("expected either --password or --password-stdin")
    return Login(read.registry.removeprefix("https://").rstrip("/"), read.username, read.password)
