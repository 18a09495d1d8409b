"""Builds images and runs containers on a Docker engine."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
import threading
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import docker
from docker.errors import BuildError, DockerException, ImageNotFound
from docker.models.containers import Container as EngineContainer

from stepbridge_local.errors import ImageBuildError
from stepbridge_local.protocols import BuiltImage, Container, ContainerExit, ContainerSpec
from stepbridge_local.runtimes.docker.buildkit import unmet_needs
from stepbridge_local.runtimes.docker.command_line import DockerProgram, find_program
from stepbridge_local.runtimes.docker.container import DockerContainer
from stepbridge_local.runtimes.docker.engine_errors import ENGINE_ERRORS, explain, tried
from stepbridge_local.runtimes.docker.ownership import foreign, hand_over
from stepbridge_local.runtimes.docker_commands.base_image import NAME, base_arguments

__all__ = ["DockerRuntime", "find_engine"]

_OWNER_LABEL = "stepbridge_local.owner"
_ENGINE_TIMEOUT_SECONDS = 600
_CLOSING_SECONDS = 90.0
# BuildKit's words, and the classic builder's, for a base image that is not to be had.
_NOT_PULLED = re.compile(
    r"failed to (do request|resolve source metadata)|pull access denied|manifest unknown|Get \"?https?:"
)


def find_engine(timeout_seconds: int = 5) -> docker.DockerClient | None:
    """A client of the engine that ``DOCKER_HOST`` or the default socket names, or None when none answers."""
    try:
        client = docker.from_env(timeout=timeout_seconds)
        client.ping()
    except DockerException:
        return None
    client.api.timeout = _ENGINE_TIMEOUT_SECONDS
    return client


class DockerRuntime:
    """Implements ``ContainerRuntime`` on a Docker engine.

    ``owner_folder`` stands for the local AWS that the containers belong to: what an earlier one on the same folder left
    running is removed at the start. A container's network is the engine's bridge if it has one, otherwise the host's.
    """

    name = "docker"

    def __init__(self, client: docker.DockerClient, owner_folder: Path, program: DockerProgram | None = None) -> None:
        """``program`` builds where it has BuildKit; else the engine does without."""
        self._client = client
        self._program = program or find_program()
        self._owner = hashlib.sha256(str(owner_folder.resolve()).encode()).hexdigest()[:16]
        machine = client.info()
        self._network = "bridge" if client.networks.list(names=["bridge"]) else "host"
        self._rootless = "name=rootless" in (machine.get("SecurityOptions") or [])
        self._memory_bytes: int = machine["MemTotal"]
        self._cpus: int = machine["NCPU"]
        self.engine_version = int(machine["ServerVersion"].partition(".")[0])
        self._running: dict[str, DockerContainer] = {}
        self._lock = threading.Lock()
        self._remove_leftovers()

    @property
    def has_bridge(self) -> bool:
        """Whether the engine has a network of its own for containers and builds."""
        return self._network == "bridge"

    def build(
        self, context: Path, dockerfile: str, build_args: Mapping[str, str], log: Callable[[str], None]
    ) -> BuiltImage:
        """Build with the engine, which honours ``.dockerignore`` and, with BuildKit, every instruction.

        Raises ImageBuildError.
        """
        where = str(context / dockerfile)
        if not (context / dockerfile).is_file():
            raise ImageBuildError(where, "there is no such file", "a Dockerfile")
        text = (context / dockerfile).read_text(errors="surrogateescape")
        if unmet := unmet_needs(text, dockerfile, self._program.get_buildkit({}), self.engine_version):
            raise ImageBuildError(str(context), "; ".join(map(str, unmet)))
        try:
            return self._describe(self._build(context, dockerfile, build_args, log))
        except ENGINE_ERRORS as error:
            remedy = "see the build's log"
            if NAME in base_arguments(text) and _NOT_PULLED.search(str(error)):
                remedy = "if the engine cannot pull it, name an image that the engine has: --base-image"
            raise ImageBuildError(where, f"docker build failed: {error}", remedy=remedy) from error

    def _build(self, context: Path, dockerfile: str, build_args: Mapping[str, str], log: Callable[[str], None]) -> str:
        """The id of the image. The program's own builder is the same as in CodeBuild's builds."""
        context = context.resolve()  # the program runs in a folder of its own
        arguments = [f"--build-arg={name}={value}" for name, value in build_args.items()]
        network = [] if self.has_bridge else ["--network=host"]
        last_lines = {True: "", False: ""}  # of errors, and of what the build prints: they come in any order

        def hand_on(line: str, is_error: bool) -> None:
            log(line)
            last_lines[is_error] = line.strip() or last_lines[is_error]

        with tempfile.TemporaryDirectory(prefix="docker-") as home:
            identity = Path(home, "image-id")
            command = ["build", *network, f"--iidfile={identity}", f"--file={context / dockerfile}", *arguments]
            environment = self._program.build_environment(Path(home), {})
            status = self._program.run([*command, str(context)], Path(home), environment, hand_on, lambda: False)
            if status or not identity.is_file():
                raise BuildError(last_lines[True] or last_lines[False] or f"docker build ended with {status}", [])
            return identity.read_text().strip()

    def _describe(self, image_id: str) -> BuiltImage:
        attributes = self._client.images.get(image_id).attrs
        return BuiltImage(attributes["Id"], attributes["Size"], attributes["Config"])

    def start(self, spec: ContainerSpec, on_line: Callable[[str], None]) -> Container:
        """Start a container under the name of ``spec``."""
        try:
            engine_container = self._create(spec)
        except ImageNotFound:
            error = f"image {spec.image_id}: the Docker engine does not hold it any more; build it again"
            return _NotStarted(ContainerExit(None, error))
        except ENGINE_ERRORS as error:
            return _NotStarted(ContainerExit(None, f"the container did not start: {explain(error)}"))
        container = DockerContainer(
            engine_container, on_line, lambda: self._take_over(spec), lambda: self._forget(spec.name)
        )
        with self._lock:
            self._running[spec.name] = container
        container.start()
        return container

    def _create(self, spec: ContainerSpec) -> EngineContainer:
        network = self._network
        if spec.network_isolated:
            network = "none"
        elif len(spec.hosts) > 1:
            network = "host"  # the loopback addresses by which they know each other are not shared on a bridge
        return self._client.containers.create(
            spec.image_id,
            name=f"stepbridge-{self._owner}-{spec.name}",
            entrypoint=list(spec.entrypoint) if spec.entrypoint else None,
            command=list(spec.arguments) if spec.arguments else None,
            environment=dict(spec.environment),
            volumes={str(spec.ml_folder.resolve()): {"bind": "/opt/ml", "mode": "rw"}},
            network_mode=network,
            # On a bridge the engine writes down the container's own address.
            extra_hosts=dict(spec.hosts) if network != "bridge" else None,
            init=True,  # as process 1, a program without a handler would ignore SIGTERM
            **self._limits(spec),
            labels={_OWNER_LABEL: self._owner},
            hostname=spec.hostname or spec.name[:63],
        )

    def _limits(self, spec: ContainerSpec) -> dict[str, int]:
        """The requested limits, but no more than the engine's machine has. Swap does not add to them."""
        limits: dict[str, int] = {}
        if spec.memory_bytes:
            memory_bytes = min(spec.memory_bytes, self._memory_bytes)
            limits |= {"mem_limit": memory_bytes, "memswap_limit": memory_bytes}
        if spec.cpus:
            limits["nano_cpus"] = int(min(spec.cpus, self._cpus) * 1e9)
        return limits

    def close(self) -> None:
        """Kill every container that still runs and wait until each has ended, as long as the engine can. Idempotent."""
        with self._lock:
            running = list(self._running.values())
        for container in running:
            container.stop(0)
        for container in running:
            container.wait(_CLOSING_SECONDS)

    def _take_over(self, spec: ContainerSpec) -> None:
        """Let this process read and remove files that a container of another user wrote."""
        folder, user_id = spec.ml_folder.resolve(), os.geteuid()
        if user_id != 0 and foreign(folder, user_id):
            # In a rootless engine's containers this user is root.
            owner = (0, 0) if self._rootless else (user_id, os.getegid())
            hand_over(self._client, spec.image_id, folder, *owner)

    def _forget(self, name: str) -> None:
        with self._lock:
            self._running.pop(name, None)

    def _remove_leftovers(self) -> None:
        mine = {"label": f"{_OWNER_LABEL}={self._owner}"}
        for container in self._client.containers.list(all=True, filters=mine, sparse=True):
            tried(f"removing {container.id}", partial(container.remove, force=True))


class _NotStarted:
    """A container that could not be started."""

    def __init__(self, outcome: ContainerExit) -> None:
        self._outcome = outcome

    def wait(self, timeout_seconds: float | None = None) -> ContainerExit:  # noqa: ARG002
        return self._outcome

    def stop(self, grace_seconds: float) -> None:
        """Nothing runs."""
