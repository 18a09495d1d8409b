"""The process runtime: images are virtual environments with a file tree, containers are processes in a private root."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from stepbridge_local.protocols import BuiltImage, Container, ContainerSpec
from stepbridge_local.runtimes.process.build_sandbox import BuildSandbox
from stepbridge_local.runtimes.process.builder import ImageBuilder
from stepbridge_local.runtimes.process.container import FailedContainer
from stepbridge_local.runtimes.process.containers import RunningContainers
from stepbridge_local.runtimes.process.environment_builder import EnvironmentBuilder
from stepbridge_local.runtimes.process.image import command_of
from stepbridge_local.runtimes.process.image_store import ImageStore, StoredImage
from stepbridge_local.runtimes.process.sandbox import Bind, host_layout, launch_spec

__all__ = ["ProcessRuntime"]

_NOT_IN_HOSTNAME: Final = re.compile(r"[^A-Za-z0-9-]")


class ProcessRuntime:
    """A ``ContainerRuntime`` without a container engine, for Linux.

    ``images_folder`` keeps the images and may be used by several programs at once; ``work_folder`` holds what running
    containers write. ``resolve`` finds the image id for an image URI in a FROM (see ``ImageRegistry.resolve``).
    ``environ``, by default this program's, says where packages come from; nothing else of it reaches a build.
    """

    name = "process"

    def __init__(
        self,
        images_folder: Path,
        work_folder: Path,
        resolve: Callable[[str], str] | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        settings = dict(os.environ if environ is None else environ)
        self._containers = RunningContainers(work_folder.resolve())
        self._store = ImageStore(images_folder)
        self._environments = EnvironmentBuilder(self._store, settings, self._containers)
        self.command_sandbox = BuildSandbox(self._containers)
        self._builder = ImageBuilder(self._store, self._environments, settings, resolve)

    def build(
        self,
        context: Path,
        dockerfile: str,
        build_args: Mapping[str, str],
        log: Callable[[str], None],
    ) -> BuiltImage:
        """Build ``context/dockerfile``. Raises ImageBuildError, with all that cannot be honoured at once."""
        return self._builder.build(context, dockerfile, build_args, log)

    def image(self, image_id: str) -> BuiltImage | None:
        """The image with that id, if this runtime has it; images outlive the program."""
        image = self._store.image(image_id)
        return None if image is None else image.as_built()

    def start(self, spec: ContainerSpec, on_line: Callable[[str], None]) -> Container:
        """Start a container; see ``ContainerRuntime.start``. ``memory_bytes`` and ``cpus`` are not enforced."""
        image = self._store.image(spec.image_id)
        problem = self._problem(spec, image)
        if image is None or problem:
            return FailedContainer(problem)
        name = _NOT_IN_HOSTNAME.sub("-", spec.name)
        try:
            launch = launch_spec(
                host_layout(),
                job_folder=self._containers.new_folder(name),
                rootfs=image.rootfs,
                environment_layer=self._environment_layer(image),
                python_prefix=image.python.prefix,
                command=command_of(image.config, spec.entrypoint, spec.arguments),
                environment={**dict(image.config.env), **spec.environment},
                working_folder=image.config.working_dir,
                name=spec.hostname or name,
                hosts=spec.hosts,
                binds=[Bind(str(spec.ml_folder.resolve()), "/opt/ml", read_only=False)],
                network_isolated=spec.network_isolated,
            )
            if image.config.other_python:
                on_line(image.config.other_python)
            return self._containers.launch(launch, on_line)
        except OSError as error:
            return FailedContainer(f"the container could not be started: {error}")

    def close(self) -> None:
        """Kill every container and build that still runs, and wait until they are gone. Idempotent."""
        self._containers.close()
        self._environments.close()

    def _environment_layer(self, image: StoredImage) -> Path | None:
        layer = self._store.layer(image.layer_key)
        return None if layer is None else layer.tree

    def _problem(self, spec: ContainerSpec, image: StoredImage | None) -> str:
        """What keeps a container from being started, or nothing."""
        if self._containers.closed:
            return "the local AWS is stopping"
        if image is None:
            return f"the image {spec.image_id} is not on this machine; build it again"
        if self._environment_layer(image) is None or not Path(image.python.executable).exists():
            return (
                f"the image {spec.image_id} was built with {image.python.executable}, which is gone; "
                "change its Dockerfile or its files, and build it again"
            )
        if not spec.ml_folder.is_dir():
            return f"the job's folder {spec.ml_folder} does not exist"
        if not command_of(image.config, spec.entrypoint, spec.arguments):
            return "the image has neither ENTRYPOINT nor CMD, and the job names no entrypoint"
        return ""
