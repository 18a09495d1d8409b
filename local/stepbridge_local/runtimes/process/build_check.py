"""Finds problems of an image build by reading its Dockerfile and context. Builds and downloads nothing."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from stepbridge_local.errors import LocalAwsError, Problem
from stepbridge_local.runtimes.process.build_context import BuildContext
from stepbridge_local.runtimes.process.dockerfile.instructions import CopyFiles, base_of, plan_dockerfile
from stepbridge_local.runtimes.process.dockerfile.parser import parse_dockerfile
from stepbridge_local.runtimes.process.errors import USE_DOCKER
from stepbridge_local.runtimes.process.image import ImageConfig

__all__ = ["BuildCheck", "check_build"]


@dataclass(frozen=True)
class BuildCheck:
    """``problems`` fail the build everywhere, ``refusals`` only with the process runtime. Both are texts for people."""

    problems: tuple[str, ...]
    refusals: tuple[str, ...]


def check_build(folder: Path, dockerfile: str = "Dockerfile") -> BuildCheck:
    """The problems in the Dockerfile and in the files that it copies. Sources from other stages are not checked."""
    try:
        parsed = parse_dockerfile((folder / dockerfile).read_text("utf-8"), dockerfile)
        base = base_of(parsed, {})
        plan, found = plan_dockerfile(parsed, {}, ImageConfig())
        context = BuildContext(folder, dockerfile)
    except (LocalAwsError, OSError, UnicodeDecodeError) as error:
        return BuildCheck((f"{dockerfile}: {error}",), ())
    all_found = [*([base] if isinstance(base, Problem) else []), *found]
    copied: set[str] = set()
    for step in plan.steps:
        if isinstance(step, CopyFiles):
            sources, missing = context.sources(step)
            all_found += missing
            copied |= {entry.origin.name for source in sources for entry in source.entries}
            copied |= {source.name for source in sources}
    problems = [str(problem) for problem in dict.fromkeys(all_found) if USE_DOCKER not in problem.remedy]
    refusals = [str(problem) for problem in dict.fromkeys(all_found) if USE_DOCKER in problem.remedy]
    if not problems and not refusals:
        problems = [
            f"{dockerfile}: it starts {program} and copies no file of that name: add the file, or correct COPY"
            for program in _programs(plan.config)
            if program.rpartition("/")[2] not in copied
        ]
    return BuildCheck(tuple(problems), tuple(refusals))


def _programs(config: ImageConfig) -> list[str]:
    """The Python files that a container of the image begins with."""
    words = [*(config.entrypoint or ()), *(config.cmd or ())]
    if words[:1] == ["/bin/sh"]:  # the shell form
        words = shlex.split(words[-1], posix=True)
    return [word for word in words if word.endswith(".py")]
