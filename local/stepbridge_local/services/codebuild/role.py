"""Limits what a build can do in the local AWS to the permissions of its service role."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from stepbridge_local.protocols import CommandCall, DockerCommands, ImageRegistry, Output, ServiceError
from stepbridge_local.services.codebuild.run import BuildServices
from stepbridge_local.services.iam.permissions import AssumedRole
from stepbridge_local.services.iam.role_access import RoleRegistry, RoleStore, login_needs, pull_needs

__all__ = ["as_role"]

_FROM: Final = re.compile(r"^\s*FROM\s+(?:--\S+\s+)*(\S+)", re.IGNORECASE | re.MULTILINE)
FAILED: Final = 1


def as_role(services: BuildServices, role: AssumedRole) -> BuildServices:
    """The services for a build that acts as a role."""

    def docker_commands(registry: ImageRegistry, passwords: Mapping[str, str]) -> DockerCommands:
        return _RoleDockerCommands(services.docker_commands(registry, passwords), role)

    return BuildServices(
        store=RoleStore(services.store, role),
        registry=RoleRegistry(services.registry, role),
        docker_commands=docker_commands,
        sandbox=services.sandbox,
        check_login=lambda: role.require(login_needs()),
    )


class _RoleDockerCommands:
    """``docker`` commands whose base images are pulled as a role."""

    def __init__(self, commands: DockerCommands, role: AssumedRole) -> None:
        self._commands = commands
        self._role = role

    def answer(self, call: CommandCall, output: Output) -> int:
        """The exit status of a command."""
        for base in _base_images(call):
            try:
                self._role.require(pull_needs(base))
            except ServiceError as error:
                output(f"ERROR: failed to resolve source metadata for {base}: {error}", True)
                return FAILED
        return self._commands.answer(call, output)


def _base_images(call: CommandCall) -> Sequence[str]:
    """The base images in the Dockerfile of a ``docker build``; none for other commands."""
    words = list(call.arguments)
    if "build" not in words[:2]:
        return []
    named = [word.partition("=")[2] for word in words if word.startswith("--file=")]
    named += [words[at + 1] for at, word in enumerate(words[:-1]) if word in ("-f", "--file")]
    try:
        file = call.fetch(named[-1] if named else f"{words[-1]}/Dockerfile")
    except FileNotFoundError:
        return []
    return _FROM.findall(file.read_text(errors="replace")) if file.is_file() else []
