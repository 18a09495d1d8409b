"""What a build sees of the local AWS: what its service role may do, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from stepbridge_local.protocols import ImageRegistry, Scope, ServiceError
from stepbridge_local.services.codebuild.aws_command import FindDigest
from stepbridge_local.services.codebuild.docker_daemon import DockerDaemon
from stepbridge_local.services.codebuild.run import DockerCommands, MakeDockerCommands, Surroundings
from stepbridge_local.services.codebuild.shims import Output, ShimCall
from stepbridge_local.services.iam.gate import Acting
from stepbridge_local.services.iam.role_access import RoleRegistry, RoleStore, login_needs, pull_needs, tag_needs

__all__ = ["DockerCommandsOf", "as_role"]

DockerCommandsOf = Callable[[ImageRegistry, FindDigest], MakeDockerCommands]
_FROM: Final = re.compile(r"^\s*FROM\s+(?:--\S+\s+)*(\S+)", re.IGNORECASE | re.MULTILINE)
FAILED: Final = 1


def as_role(surroundings: Surroundings, acting: Acting, docker_commands_of: DockerCommandsOf | None) -> Surroundings:
    """The surroundings for a build that acts as a role. ``docker_commands_of`` is the runtime's, None the default."""

    def find_digest(scope: Scope, repository: str, tag: str) -> str | None:
        acting.require(tag_needs(scope, repository))
        return surroundings.find_digest(scope, repository, tag)

    registry = RoleRegistry(surroundings.registry, acting)

    def docker_commands(passwords: Mapping[str, str]) -> DockerCommands:
        if docker_commands_of is None:
            commands: DockerCommands = DockerDaemon(surroundings.runtime, registry, passwords)
        else:
            commands = docker_commands_of(registry, find_digest)(passwords)
        return _RoleDockerCommands(commands, acting)

    return replace(
        surroundings,
        store=RoleStore(surroundings.store, acting),
        registry=registry,
        find_digest=find_digest,
        docker_commands=docker_commands,
        check_login=lambda: acting.require(login_needs()),
    )


class _RoleDockerCommands:
    """``docker`` commands whose base images are pulled as a role."""

    def __init__(self, commands: DockerCommands, acting: Acting) -> None:
        self._commands = commands
        self._acting = acting

    def answer(self, call: ShimCall, output: Output) -> int:
        """The exit status of a command."""
        for base in _base_images(call):
            try:
                self._acting.require(pull_needs(base))
            except ServiceError as fault:
                output(f"ERROR: failed to resolve source metadata for {base}: {fault}", True)
                return FAILED
        return self._commands.answer(call, output)


def _base_images(call: ShimCall) -> Sequence[str]:
    """What the Dockerfile of a ``docker build`` starts from; nothing for other commands."""
    words = list(call.arguments)
    if "build" not in words[:2]:
        return []
    named = [word.partition("=")[2] for word in words if word.startswith("--file=")]
    named += [words[at + 1] for at, word in enumerate(words[:-1]) if word in ("-f", "--file")]
    file = call.folder / named[-1] if named else call.folder / Path(words[-1]) / "Dockerfile"
    return _FROM.findall(file.read_text(errors="replace")) if file.is_file() else []
