"""``docker build`` command lines: what stands where, with every option as the program has it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from stepbridge_local.errors import UnsupportedCommandError

__all__ = ["BuildOptions", "read_build"]

# https://docs.docker.com/reference/cli/docker/buildx/build/: all other options take a value.
_SWITCHES: Final = frozenset(
    (
        *("--check", "--compress", "--disable-content-trust", "--force-rm", "--load", "--no-cache", "--pull", "--push"),
        *("--quiet", "--rm", "--squash", "--stream", "-D", "-q"),
    )
)
# Without effect on what is in the image, and unknown to the engine's own builder.
_ONLY_BUILDKIT: Final = frozenset({"--load", "--progress", "--provenance", "--sbom", "--cache-to", "--builder"})
_TAG: Final = frozenset({"-t", "--tag"})
_FILE: Final = frozenset({"-f", "--file"})
_BUILD_ARGUMENT: Final = "--build-arg"


@dataclass
class BuildOptions:
    """``others`` are the options that go on as they are."""

    context: str = ""
    file: str | None = None
    tags: list[str] = field(default_factory=list)
    build_arguments: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)

    @property
    def names_network(self) -> bool:
        return any(option.startswith("--network") for option in self.others)

    def dockerfile(self, folder: Path) -> Path:
        """Where it is, for a command that runs in ``folder``; ``--file`` is relative to that, not to the context."""
        return folder / self.file if self.file else folder / self.context / "Dockerfile"


def read_build(words: Sequence[str], classic: bool) -> BuildOptions:
    """What follows ``docker build``. Raises UnsupportedCommandError.

    ``classic`` leaves out what only BuildKit knows.
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
            read.build_arguments.append(value)
        elif option in ("--push", "--output", "-o"):
            raise UnsupportedCommandError(
                f"docker build {option}", "not available here", "docker push, as a command of its own"
            )
        elif not (classic and option in _ONLY_BUILDKIT):
            read.others += [option] if option in _SWITCHES and not value else [f"{option}={value}"]
    _check(contexts, read)
    read.context = contexts[0]
    return read


def _take(rest: list[str]) -> tuple[str, str]:
    """The next option with its value, which a switch has none of; no option for the context."""
    word = rest.pop(0)
    if not word.startswith("-") or word == "-":
        return "", word
    option, equals, value = word.partition("=")
    if not equals and not word.startswith("--") and len(word) > 2:
        option, value, equals = word[:2], word[2:], "="  # -tname
    if equals or option in _SWITCHES:
        return option, value
    if not rest:
        raise UnsupportedCommandError(f"docker build {option}", "nothing behind it", "a value")
    return option, rest.pop(0)


def _check(contexts: Collection[str], read: BuildOptions) -> None:
    if len(contexts) != 1:
        raise UnsupportedCommandError("docker build", f"{len(contexts)} contexts", "one folder of the source")
    context = next(iter(contexts))
    if context == "-" or "://" in context or read.file == "-":
        raise UnsupportedCommandError(
            "docker build", f"context {context!r}, file {read.file!r}", "a folder and a file of the source"
        )
