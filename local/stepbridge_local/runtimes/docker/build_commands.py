"""``docker`` in a build on a Docker engine: the real program, with the local ECR instead of AWS's."""

from __future__ import annotations

import posixpath
import re
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from stepbridge_local.errors import UnsupportedCommandError
from stepbridge_local.protocols import CommandCall, ImageRegistry, Output, Scope, ServiceError
from stepbridge_local.runtimes.docker.build_options import BuildOptions, read_build, read_run
from stepbridge_local.runtimes.docker.buildkit import LATEST, unmet_needs
from stepbridge_local.runtimes.docker.command_line import DockerProgram
from stepbridge_local.runtimes.docker.ecr_names import (
    ecr_name,
    ecr_references,
    engine_name,
    rewritten_dockerfile,
)
from stepbridge_local.runtimes.docker.engine_images import EngineImages
from stepbridge_local.runtimes.docker.oci_registry import OciRegistry
from stepbridge_local.runtimes.docker_commands.base_image import base_arguments, given_base
from stepbridge_local.runtimes.docker_commands.ecr_login import EcrLogin
from stepbridge_local.runtimes.docker_commands.parser import Login, PushImage, parse_docker
from stepbridge_local.runtimes.process.build_context import resolve_in_root

__all__ = ["BuildCommands", "BuildEngine"]

FAILED: Final = 1
UNSUPPORTED: Final = 125
# Commands that are passed to the program unchanged, except for names of images. The program runs on this machine, and
# the engine runs as root. So there is no command that reads or writes files here, or affects other users' containers.
_PASSED_ON: Final = frozenset(("--version", "-v", "version", "images", "history", "tag", "rmi", "logout"))
_OF_IMAGES: Final = frozenset(("ls", "inspect", "history", "rm"))
_PASSED_VARIABLES: Final = frozenset(("BUILDKIT_PROGRESS", "DOCKER_BUILDKIT", "LANG", "SOURCE_DATE_EPOCH"))
_PUSHED: Final = re.compile(r".*: digest: (?P<digest>sha256:[0-9a-f]{64}) size: \d+")
_ECR: Final = re.compile(r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.[a-z0-9.]+/(?P<name>[^:@]+)")


@dataclass(frozen=True)
class BuildEngine:
    """The engine that a build uses.

    ``network`` is set if the engine has no bridge. ``base_image`` is the BASE_IMAGE of builds that name none.
    """

    program: DockerProgram
    oci: OciRegistry
    images: EngineImages
    registry: ImageRegistry
    network: str | None = None
    version: int = LATEST  # the engine's, before its first dot
    base_image: str | None = None


class BuildCommands:
    """Answers the ``docker`` commands of one build. ``passwords`` are those that ``aws ecr`` gave, by region."""

    def __init__(self, engine: BuildEngine, passwords: Mapping[str, str]) -> None:
        self._engine = engine
        self._login = EcrLogin(passwords)
        self._named: set[str] = set()  # names that this build has set; they take precedence over ECR

    def answer(self, call: CommandCall, output: Output) -> int:
        """The exit status of a command."""
        words = _without_group(call.arguments)
        handlers: dict[str, Callable[[list[str], CommandCall, Output], int]] = {
            "build": self._build,
            "push": self._push,
            "pull": self._pull,
            "login": self._log_in,
            "run": self._run_container,
            "inspect": self._inspect,
        }
        try:
            if words and words[0] in handlers:
                return handlers[words[0]](words, call, output)
            if words[:1] == ["image"] and words[1:2] and words[1] in _OF_IMAGES:
                return self._pass_on(words, call, output)
            if words and words[0] in _PASSED_ON:
                return self._pass_on(words, call, output)
            available = ", ".join(sorted([*handlers, *_PASSED_ON]))
            raise UnsupportedCommandError(
                "docker " + " ".join(words), "not available in builds of the local AWS", available
            )
        except UnsupportedCommandError as refusal:
            output(str(refusal), True)
            return UNSUPPORTED

    def _pass_on(self, words: list[str], call: CommandCall, output: Output) -> int:
        if words[0] == "tag" and len(words) == 3:
            self._named.add(self._local(words[2]))
        return self._run([self._local(word) for word in words], call, output)

    def _inspect(self, words: list[str], call: CommandCall, output: Output) -> int:
        return self._pass_on(["image", *words], call, output)  # a container's would show other users' containers

    def _run_container(self, words: list[str], call: CommandCall, output: Output) -> int:
        options, rest = read_run(words[1:], call.environment)
        if self._engine.network and not any(option.startswith("--network") for option in options):
            options.append(f"--network={self._engine.network}")
        return self._run(["run", *options, *map(self._local, rest)], call, output)

    # --- docker build -------------------------------------------------------------------------------------------------
    def _build(self, words: list[str], call: CommandCall, output: Output) -> int:
        get_buildkit = self._engine.program.get_buildkit(call.environment)
        read = read_build(words[1:], call.environment, classic=get_buildkit is not None)
        try:
            context, original = call.fetch(read.context), self._dockerfile(read, call)
        except FileNotFoundError as error:
            output(f"ERROR: unable to prepare context: path {error} not found", True)
            return FAILED
        text = original.read_text(errors="surrogateescape") if original.is_file() else ""
        if unmet := unmet_needs(text, read.file or "Dockerfile", get_buildkit, self._engine.version):
            for problem in unmet:
                output(f"ERROR: {problem}", True)
            return FAILED
        bases = base_arguments(text)
        given = given_base(text, self._engine.base_image, [word.partition("=")[0] for word in read.build_arguments])
        read.build_arguments += [f"{name}={value}" for name, value in given.items()]
        self._fetch(ecr_references(text) + [name for word in read.build_arguments for name in ecr_references(word)])
        arguments = [self._argument(word, bases) for word in read.build_arguments]
        rewritten = rewritten_dockerfile(text, self._engine.oci.address)
        if rewritten == text:
            return self._run(self._build_words(read, arguments, str(original), context), call, output)
        with tempfile.NamedTemporaryFile("w", prefix="Dockerfile-", errors="surrogateescape") as file:
            file.write(rewritten)
            file.flush()
            return self._run(self._build_words(read, arguments, file.name, context), call, output)

    def _dockerfile(self, read: BuildOptions, call: CommandCall) -> Path:
        """The Dockerfile's copy: in that of the context, with the ignore file beside it, or one of its own."""
        name = read.file or posixpath.join(read.context, "Dockerfile")
        below = posixpath.relpath(name, read.context)
        if below.startswith("../"):
            return call.fetch(name)
        file = resolve_in_root(call.fetch(read.context), below, {})
        if not file.is_file():
            raise FileNotFoundError(name)
        return file

    def _build_words(self, read: BuildOptions, arguments: Sequence[str], file: str, context: Path) -> list[str]:
        tags = [self._local(tag) for tag in read.tags]
        self._named.update(_with_tag(tag) for tag in tags)
        network = [f"--network={self._engine.network}"] if self._engine.network and not read.names_network else []
        return [
            "build",
            *network,
            f"--file={file}",
            *(f"--tag={tag}" for tag in tags),
            *(f"--build-arg={argument}" for argument in arguments),
            *read.others,
            str(context),
        ]

    def _argument(self, word: str, bases: Collection[str]) -> str:
        """A build argument, with the engine's name where it is the name of a base image."""
        name, equals, value = word.partition("=")
        return name + equals + (self._local(value) if name in bases else value)

    def _fetch(self, uris: Sequence[str]) -> None:
        """Make the ECR images that a Dockerfile may use as a base available in the engine, under their names."""
        for uri in uris:
            name = _with_tag(self._local(uri))
            if name in self._named or "@" in name:
                continue  # the engine itself pulls by digest
            try:
                self._engine.images.tag(self._engine.registry.resolve(uri), name)
            except ServiceError:
                continue  # unused; if it is used, docker build says that it cannot be found

    # --- docker login, push, pull -------------------------------------------------------------------------------------
    def _log_in(self, words: list[str], call: CommandCall, output: Output) -> int:
        command = parse_docker(words)
        assert isinstance(command, Login)
        return self._login.answer(command, call.standard_input, output)

    def _push(self, words: list[str], call: CommandCall, output: Output) -> int:
        command = parse_docker(words)
        assert isinstance(command, PushImage)
        uri = _with_tag(command.image)
        name = _ECR.match(uri)
        if name is None:
            raise UnsupportedCommandError("docker push", f"the image {uri}", "an image of ECR")
        if uri.partition("/")[0] not in self._login:
            output("no basic auth credentials", True)
            return FAILED
        try:
            self._engine.registry.find_digest(Scope(name["account"], name["region"]), name["name"], "")
            return self._push_and_record(uri, name, call, output)
        except ServiceError as error:
            output(f"{error.code}: {error.message}", True)
            return FAILED

    def _push_and_record(self, uri: str, name: re.Match[str], call: CommandCall, output: Output) -> int:
        """Push the image, then record it in ECR. If ECR refuses it, the push fails. Raises ServiceError."""
        pushed: list[str] = []

        def read_digest(line: str, is_error: bool) -> None:
            found = _PUSHED.fullmatch(line)
            if found:
                pushed.append(line)
            else:
                output(line, is_error)

        status = self._run(["push", self._local(uri)], call, read_digest)
        if status or not pushed:
            self._engine.oci.remove_unfinished()
            return status or FAILED
        found = _PUSHED.fullmatch(pushed[-1])
        assert found is not None
        repository = f"{name['account']}/{name['region']}/{name['name']}"
        manifest = self._engine.oci.manifest(repository, found["digest"])
        self._engine.registry.record(uri, manifest)
        output(pushed[-1], False)
        return 0

    def _pull(self, words: list[str], call: CommandCall, output: Output) -> int:
        uris = ecr_references(" ".join(words))
        if not uris:
            return self._run(words, call, output)
        uri = uris[0]
        try:
            image_id = self._engine.registry.resolve(uri)
        except ServiceError as error:
            output(f"Error response from daemon: {error.message}", True)
            return FAILED
        if "@" not in uri:
            self._engine.images.tag(image_id, _with_tag(self._local(uri)))
        output(f"Status: Image is up to date for {uri}", False)
        return 0

    def _local(self, text: str) -> str:
        return engine_name(text, self._engine.oci.address)

    def _run(self, words: Sequence[str], call: CommandCall, output: Output) -> int:
        address = self._engine.oci.address
        # The build's variables that are safe for the program. Others tell it where to load libraries and plugins from.
        passed = {name: value for name, value in call.environment.items() if name in _PASSED_VARIABLES}
        with tempfile.TemporaryDirectory(prefix="docker-") as home:
            return self._engine.program.run(
                words,
                Path(home),
                self._engine.program.build_environment(Path(home), passed),
                lambda line, is_error: output(ecr_name(line, address), is_error),
                call.is_abandoned,
            )


def _without_group(arguments: Sequence[str]) -> list[str]:
    """``docker image build`` and the like in their short form."""
    words = list(arguments)
    groups = {"image": ("build", "push", "pull", "tag"), "buildx": ("build",), "builder": ("build",)}
    if len(words) > 1 and words[1] in groups.get(words[0], ()):
        return words[1:]
    return words


def _with_tag(name: str) -> str:
    """``name:latest`` where there is neither tag nor digest; a colon before the last slash is a port's."""
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"
