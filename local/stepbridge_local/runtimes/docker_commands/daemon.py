"""The Docker daemon of one build: the images that it holds, and the registries that it is logged in to."""

from __future__ import annotations

import posixpath
import threading
from collections.abc import Callable, Mapping
from typing import Final

from stepbridge_local.errors import ImageBuildError, UnsupportedCommandError
from stepbridge_local.protocols import BuiltImage, CommandCall, ContainerRuntime, ImageRegistry, Output, ServiceError
from stepbridge_local.runtimes.docker_commands.base_image import given_base
from stepbridge_local.runtimes.docker_commands.ecr_login import EcrLogin
from stepbridge_local.runtimes.docker_commands.parser import (
    BuildImage,
    Login,
    PushImage,
    ShowVersion,
    TagImage,
    parse_docker,
)
from stepbridge_local.runtimes.process.build_context import resolve_in_root

__all__ = ["DockerDaemon"]

VERSION: Final = "Docker version 27.0.0, build stepbridge"
FAILED: Final = 1
UNSUPPORTED: Final = 125


class DockerDaemon:
    """Answers ``docker`` commands.

    ``passwords`` maps a region to what ``aws ecr get-login-password`` gave for it. ``base_image`` is the BASE_IMAGE of
    builds that name none.
    """

    def __init__(
        self,
        runtime: ContainerRuntime,
        registry: ImageRegistry,
        passwords: Mapping[str, str],
        base_image: str | None = None,
    ) -> None:
        self._base_image = base_image
        self._runtime = runtime
        self._registry = registry
        self._login = EcrLogin(passwords)
        self._images: dict[str, BuiltImage] = {}
        self._lock = threading.Lock()

    def answer(self, call: CommandCall, output: Output) -> int:
        """The exit status of a command."""
        try:
            command = parse_docker(call.arguments)
            if isinstance(command, BuildImage):
                return self._build(command, call, output)
            if isinstance(command, TagImage):
                return self._tag(command, output)
            if isinstance(command, PushImage):
                return self._push(command, output)
            if isinstance(command, Login):
                return self._login.answer(command, call.standard_input, output)
            if isinstance(command, ShowVersion):
                output(VERSION, False)
        except UnsupportedCommandError as refusal:
            output(str(refusal), True)
            return UNSUPPORTED
        return 0

    def _build(self, command: BuildImage, call: CommandCall, output: Output) -> int:
        name = command.dockerfile or posixpath.join(command.context, "Dockerfile")
        dockerfile = posixpath.relpath(name, command.context)
        if dockerfile.startswith("../"):
            raise UnsupportedCommandError("docker build --file", name, f"a file inside the context {command.context}")
        try:
            context = call.fetch(command.context)
        except FileNotFoundError:
            output(f"ERROR: unable to prepare context: path {command.context!r} not found", True)
            return FAILED
        for note in command.notes:
            output(note, True)
        log: Callable[[str], None] = (lambda _: None) if command.quiet else (lambda line: output(line, True))
        arguments = {
            name: value if value is not None else call.environment[name]
            for name, value in command.build_args
            if value is not None or name in call.environment
        }
        file = resolve_in_root(context, dockerfile, {})
        text = file.read_text(errors="replace") if file.is_file() else ""
        arguments |= given_base(text, self._base_image, arguments)
        try:
            image = self._runtime.build(context, dockerfile, arguments, log)
        except ImageBuildError as error:
            for line in f"ERROR: failed to build: {error}".splitlines():
                output(line, True)
            return FAILED
        with self._lock:
            self._images.update({_with_tag(tag): image for tag in command.tags})
            self._images[image.image_id] = image
        output(image.image_id if command.quiet else f"writing image {image.image_id} done", not command.quiet)
        for tag in command.tags:
            output(f"naming to {_with_tag(tag)} done", True)
        return 0

    def _tag(self, command: TagImage, output: Output) -> int:
        image = self._find(command.source)
        if image is None:
            output(f"Error response from daemon: No such image: {_with_tag(command.source)}", True)
            return FAILED
        with self._lock:
            self._images[_with_tag(command.target)] = image
        return 0

    def _push(self, command: PushImage, output: Output) -> int:
        name = _with_tag(command.image)
        repository, _, tag = name.rpartition(":")
        host = repository.partition("/")[0]
        output(f"The push refers to repository [{repository}]", False)
        image = self._find(name)
        if image is None:
            output(f"An image does not exist locally with the tag: {repository}", True)
            return FAILED
        if host not in self._login:
            output("no basic auth credentials", True)
            return FAILED
        try:
            digest = self._registry.push(name, image)
        except ServiceError as error:
            output(f"{error.code}: {error.message}", True)
            return FAILED
        output(f"{tag}: digest: {digest} size: {image.size_bytes}", False)
        return 0

    def _find(self, name: str) -> BuiltImage | None:
        with self._lock:
            return self._images.get(_with_tag(name)) or self._images.get(name)


def _with_tag(name: str) -> str:
    """``name:latest`` where there is no tag; a colon before the last slash is a port's."""
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"
