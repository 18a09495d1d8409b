"""Chooses the runtime of a local AWS, with everything that belongs to it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass

from stepbridge_local.errors import ConfigurationError
from stepbridge_local.protocols import (
    CommandSandbox,
    ContainerRuntime,
    DockerCommands,
    DockerCommandsFactory,
    ImageHolder,
    ImageRegistry,
)
from stepbridge_local.runtimes.docker_commands.daemon import DockerDaemon
from stepbridge_local.runtimes.process import ProcessRuntime
from stepbridge_local.runtimes.process.build_sandbox import BuildSandbox
from stepbridge_local.runtimes.process.containers import RunningContainers
from stepbridge_local.settings import DEFAULT_RUNTIME, LocalAwsSettings

__all__ = ["Containers", "build_sandbox", "open_containers", "plain_containers"]


@dataclass(frozen=True)
class Containers:
    """A runtime, and the object that answers the docker commands of builds on it.

    ``holder`` has its images if ECR's records do not locate them.
    """

    runtime: ContainerRuntime
    docker_commands: DockerCommandsFactory
    sandbox: CommandSandbox
    holder: ImageHolder | None = None


def plain_containers(runtime: ContainerRuntime, sandbox: CommandSandbox, base_image: str | None = None) -> Containers:
    """A runtime that builds images itself, with its own ``docker`` commands."""

    def docker_commands(registry: ImageRegistry, passwords: Mapping[str, str]) -> DockerCommands:
        return DockerDaemon(runtime, registry, passwords, base_image)

    return Containers(runtime, docker_commands, sandbox)


def build_sandbox(settings: LocalAwsSettings, cleanup: ExitStack) -> CommandSandbox:
    """The sandbox for commands of builds, for a runtime that has none; ``cleanup`` ends it."""
    sandbox = BuildSandbox(RunningContainers(settings.work_folder.resolve()))
    cleanup.callback(sandbox.close)
    return sandbox


def open_containers(settings: LocalAwsSettings, resolve: Callable[[str], str], cleanup: ExitStack) -> Containers:
    """The runtime that the settings ask for; ``auto`` is Docker if an engine answers.

    ``resolve`` finds images in the local ECR. What is started is ended by ``cleanup``. Raises ConfigurationError.
    """
    if settings.runtime == "process":
        return _processes(settings, resolve)
    return _docker(settings, cleanup) or _processes(settings, resolve)


def _docker(settings: LocalAwsSettings, cleanup: ExitStack) -> Containers | None:
    """The engine that answers; None where there is none and ``auto`` may do without."""
    # The imports take half a second, and the process runtime does not need them.
    from stepbridge_local.runtimes.docker import DockerRuntime, find_engine
    from stepbridge_local.runtimes.docker.build_commands import BuildCommands, BuildEngine
    from stepbridge_local.runtimes.docker.command_line import DEFAULT_HOST, find_program
    from stepbridge_local.runtimes.docker.engine_images import EngineImages
    from stepbridge_local.runtimes.docker.oci_registry import OciRegistry

    engine = find_engine()
    if engine is None:
        if settings.runtime == "auto" and DEFAULT_RUNTIME == "process":
            return None
        raise ConfigurationError(
            f"--runtime {settings.runtime}",
            f"no Docker engine answers on {os.environ.get('DOCKER_HOST', DEFAULT_HOST)}",
            "a running engine that this user may use",
            "start one or name it in DOCKER_HOST; on Linux --runtime process needs none",
        )
    cleanup.callback(engine.close)
    program = find_program()
    oci = OciRegistry(settings.registry_folder / "oci")
    oci.start()
    cleanup.callback(oci.stop)
    images = EngineImages(engine, oci)
    runtime = DockerRuntime(engine, settings.data_dir, program)

    def docker_commands(registry: ImageRegistry, passwords: Mapping[str, str]) -> DockerCommands:
        network = None if runtime.has_bridge else "host"
        version, base_image = runtime.engine_version, settings.base_image
        return BuildCommands(BuildEngine(program, oci, images, registry, network, version, base_image), passwords)

    return Containers(runtime, docker_commands, build_sandbox(settings, cleanup), images)


def _processes(settings: LocalAwsSettings, resolve: Callable[[str], str]) -> Containers:
    runtime = ProcessRuntime(settings.images_folder.resolve(), settings.work_folder.resolve(), resolve=resolve)
    return plain_containers(runtime, runtime.command_sandbox, settings.base_image)
