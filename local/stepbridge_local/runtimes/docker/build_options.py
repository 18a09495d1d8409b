"""``docker build`` and ``docker run`` command lines: what stands where, and which options there are.

The program runs on this machine, not in the sandbox of the build: an option is here only if it can neither reach a file
of this machine nor give a container powers over it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from stepbridge_local.errors import UnsupportedCommandError

__all__ = ["BuildOptions", "read_build"]

# https://docs.docker.com/reference/cli/docker/buildx/build/
_SWITCHES: Final = frozenset(
    (
        *("--check", "--compress", "--disable-content-trust", "--force-rm", "--load", "--no-cache", "--pull"),
        *("--quiet", "--rm", "--squash", "--stream", "-D", "-q"),
    )
)
_WITH_VALUE: Final = frozenset(
    (
        *("--add-host", "--annotation", "--cache-from", "--cache-to", "--cpu-period", "--cpu-quota", "--cpu-shares"),
        *("--cpuset-cpus", "--cpuset-mems", "--label", "--memory", "--memory-swap", "--network", "--no-cache-filter"),
        *("--platform", "--progress", "--provenance", "--sbom", "--shm-size", "--target", "--ulimit", "-m"),
    )
)
_REGISTRY_CACHE: Final = ("type=registry,", "type=inline")  # others are in files
_BUILD_NETWORKS: Final = frozenset(("default", "none", "host"))
_ELSEWHERE: Final = frozenset(("--push", "--output", "-o"))
# https://docs.docker.com/reference/cli/docker/container/run/
_RUN_SWITCHES: Final = frozenset(("--init", "--interactive", "--quiet", "--read-only", "--rm", "--tty"))
_SHORT_RUN_SWITCHES: Final = frozenset("iqt")
_RUN_WITH_VALUE: Final = frozenset(
    (
        *("--add-host", "--cpus", "--entrypoint", "--hostname", "--label", "--memory", "--name", "--network"),
        *("--platform", "--pull", "--shm-size", "--stop-timeout", "--ulimit", "--user", "--workdir", "-h", "-l", "-m"),
        *("-u", "-w"),
    )
)
_RUN_VARIABLE: Final = frozenset(("-e", "--env"))
_RUN_NETWORKS: Final = frozenset(("none", "bridge", "host"))
# They have no effect on the content of the image, and the classic builder does not know them.
_ONLY_BUILDKIT: Final = frozenset({"--load", "--progress", "--provenance", "--sbom", "--cache-to", "--builder"})
_TAG: Final = frozenset({"-t", "--tag"})
_FILE: Final = frozenset({"-f", "--file"})
_BUILD_ARGUMENT: Final = "--build-arg"


@dataclass
class BuildOptions:
    """``others`` are options that are passed on unchanged."""

    context: str = ""
    file: str | None = None
    tags: list[str] = field(default_factory=list)
    build_arguments: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)

    @property
    def names_network(self) -> bool:
        return any(option.startswith("--network") for option in self.others)


def read_build(words: Sequence[str], environment: Mapping[str, str], classic: bool) -> BuildOptions:
    """What follows ``docker build``. Raises UnsupportedCommandError.

    A build argument without a value takes that of ``environment``. ``classic`` leaves out what only BuildKit knows.
    """
    read = BuildOptions()
    contexts: list[str] = []
    rest = list(words)
    while rest:
        option, value = _take(rest)
        if not option:
            contexts.append(value)
        elif option in _TAG:
            read.tags.append(value)
        elif option in _FILE:
            read.file = value
        elif option == _BUILD_ARGUMENT:
            read.build_arguments += _assigned(value, environment)
        elif option in _ELSEWHERE:
            raise UnsupportedCommandError(
                f"docker build {option}", "not available here", "docker push, as a command of its own"
            )
        elif option not in _SWITCHES | _WITH_VALUE | _ONLY_BUILDKIT:
            raise UnsupportedCommandError(f"docker build {option}", "not available in builds of the local AWS")
        elif option == "--network" and value not in _BUILD_NETWORKS:
            raise UnsupportedCommandError(f"docker build {option}", value, " or ".join(sorted(_BUILD_NETWORKS)))
        elif option.startswith("--cache-") and "=" in value and not value.startswith(_REGISTRY_CACHE):
            raise UnsupportedCommandError(f"docker build {option}", value, "a cache in a registry")
        elif not (classic and option in _ONLY_BUILDKIT):
            read.others += [option] if option in _SWITCHES and not value else [f"{option}={value}"]
    _check(contexts, read)
    read.context = contexts[0]
    return read


def _take(rest: list[str], command: str = "build") -> tuple[str, str]:
    """The next option with its value. A switch has no value. For the context there is no option."""
    word = rest.pop(0)
    if not word.startswith("-") or word == "-":
        return "", word
    option, equals, value = word.partition("=")
    if not word.startswith("--") and len(word) > 2:
        option, value, equals = word[:2], word[2:].removeprefix("="), "="  # -tname
    if equals or option in _SWITCHES:
        return option, value
    if not rest:
        raise UnsupportedCommandError(f"docker {command} {option}", "nothing behind it", "a value")
    return option, rest.pop(0)


def read_run(words: Sequence[str], environment: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """The options that follow ``docker run``, and the image with its command. Raises UnsupportedCommandError."""
    options: list[str] = []
    rest = list(words)
    while rest and rest[0].startswith("-"):
        short = rest[0][1:]
        if short and set(short) <= _SHORT_RUN_SWITCHES:
            options.append(rest.pop(0))
            continue
        if rest[0].partition("=")[0] in _RUN_SWITCHES:
            options.append(rest.pop(0))
            continue
        option, value = _take(rest, "run")
        if option in _RUN_VARIABLE:
            options += [f"--env={one}" for one in _assigned(value, environment)]
        elif option not in _RUN_WITH_VALUE or (option == "--network" and value not in _RUN_NETWORKS):
            shown = f"{option}={value}" if value else option
            available = ", ".join(sorted(_RUN_SWITCHES | _RUN_WITH_VALUE | _RUN_VARIABLE))
            raise UnsupportedCommandError(f"docker run {shown}", "not available in builds of the local AWS", available)
        else:
            options += [f"{option}={value}"] if option.startswith("--") else [option, value]
    if not rest:
        raise UnsupportedCommandError("docker run", "no image", "docker run [options] image [command]")
    return options, rest


def _assigned(text: str, environment: Mapping[str, str]) -> list[str]:
    """``NAME=value``, also for a bare name; nothing if the environment does not have the name."""
    if "=" in text:
        return [text]
    return [f"{text}={environment[text]}"] if text in environment else []


def _check(contexts: Collection[str], read: BuildOptions) -> None:
    if len(contexts) != 1:
        raise UnsupportedCommandError("docker build", f"{len(contexts)} contexts", "one folder of the source")
    context = next(iter(contexts))
    if context == "-" or "://" in context or read.file == "-":
        raise UnsupportedCommandError(
            "docker build", f"context {context!r}, file {read.file!r}", "a folder and a file of the source"
        )
