"""What a Dockerfile needs of the builder, and what to write instead where the builder does not have it. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from stepbridge_local.errors import Problem
from stepbridge_local.runtimes.process.dockerfile.parser import parse_dockerfile

__all__ = ["GET_BUILDKIT", "LATEST", "unmet_needs"]

GET_BUILDKIT: Final = "install Docker's plugin buildx (docker-buildx-plugin; Debian 13: docker-buildx)"
LATEST: Final = 1000
# From then on the BuildKit of an engine reads here-documents and all options without another reader of Dockerfiles.
_ALL_SINCE: Final = 23
# The directive that names one: https://docs.docker.com/build/concepts/dockerfile/#dockerfile-syntax
_NAMES_READER: Final = re.compile(r"\A(?:#\s*\w+\s*=[^\n]*\n)*#\s*syntax\s*=", re.IGNORECASE)
_NAME_READER: Final = "begin the Dockerfile with `# syntax=docker/dockerfile:1`, which Docker pulls from its Hub"
# The options that are known without BuildKit, and to that of engines before: https://github.com/moby/moby
_CLASSIC: Final[Mapping[str, tuple[str, ...]]] = {"RUN": (), "COPY": ("from", "chown"), "ADD": ("chown",)}
_EARLY: Final[Mapping[str, tuple[str, ...]]] = {
    "RUN": ("mount", "network", "security"),
    "COPY": ("from", "chown", "chmod"),
    "ADD": ("chown", "chmod"),
}
_HEREDOC: Final = "a here-document"
_INSTEAD: Final = {
    _HEREDOC: "put it into a file of the context, which COPY brings",
    "the option --mount": "leave a cache's mount out, and COPY what another mount brings",
    "the option --chmod": "write RUN chmod behind it",
}


def unmet_needs(text: str, source: str, get_buildkit: str | None, engine_version: int = LATEST) -> list[Problem]:
    """What the builder cannot do of a Dockerfile. ``get_buildkit`` says how to have BuildKit; None where it is."""
    early = engine_version < _ALL_SINCE and not _NAMES_READER.match(text)
    if get_buildkit is None and not early:
        return []
    known = _EARLY if get_buildkit is None else _CLASSIC
    problems: list[Problem] = []
    for instruction in parse_dockerfile(text, source).instructions:
        if instruction.name not in known:
            continue
        needs = {_HEREDOC: early} if instruction.heredocs else {}
        for name, _ in instruction.flags:
            if name not in known[instruction.name]:
                needs[f"the option --{name}"] = early and name not in _EARLY[instruction.name]
        where = f"{source}:{instruction.line}: {instruction.name}"
        expected = "what this Docker engine builds" + (" without BuildKit" if get_buildkit else "")
        for found, needs_reader in needs.items():
            ways = [get_buildkit, _NAME_READER if needs_reader else None]
            remedy = f"{_INSTEAD.get(found, 'do without it')}; or {', and '.join(filter(None, ways))}"
            problems.append(Problem(where, found, expected, remedy))
    return problems
