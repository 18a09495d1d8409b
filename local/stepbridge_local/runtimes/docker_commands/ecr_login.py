"""``docker login`` to the registries of ECR, with the passwords that ``aws ecr get-login-password`` gave."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from stepbridge_local.errors import UnsupportedCommandError
from stepbridge_local.protocols import Output
from stepbridge_local.runtimes.docker_commands.parser import Login

__all__ = ["EcrLogin"]

_ECR_HOST: Final = re.compile(r"\d{12}\.dkr\.ecr(-fips)?\.(?P<region>[a-z0-9-]+)\.[a-z0-9.]+")


class EcrLogin:
    """The registries that a build is logged in to. ``passwords`` maps a region to the password given for it."""

    def __init__(self, passwords: Mapping[str, str]) -> None:
        self._passwords = passwords
        self._hosts: set[str] = set()

    def __contains__(self, host: str) -> bool:
        return host in self._hosts

    def answer(self, command: Login, standard_input: str, output: Output) -> int:
        """The exit status of ``docker login``. Raises UnsupportedCommandError for a registry that is not ECR's."""
        password = command.password if command.password is not None else standard_input.rstrip("\r\n")
        host = _ECR_HOST.fullmatch(command.registry)
        if host is None:
            raise UnsupportedCommandError("docker login", f"the registry {command.registry}", "a registry of ECR")
        if not password or (command.username, password) != ("AWS", self._passwords.get(host["region"])):
            output(f"Error response from daemon: login attempt to https://{command.registry}/v2/ failed with status: "
                   "400 Bad Request", True)  # fmt: skip
            return 1
        self._hosts.add(command.registry)
        output("Login Succeeded", False)
        return 0
