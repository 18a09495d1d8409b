"""The sandbox for the commands of builds: the same as for containers, but without an image."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence

from stepbridge_local.protocols import Container, SharedFolder
from stepbridge_local.runtimes.process.container import FailedContainer
from stepbridge_local.runtimes.process.containers import RunningContainers
from stepbridge_local.runtimes.process.python_installation import own_python
from stepbridge_local.runtimes.process.sandbox import Bind, host_layout, launch_spec

__all__ = ["BuildSandbox"]


class BuildSandbox:
    """A ``CommandSandbox`` with this machine's programs and libraries, and nothing else of it. For Linux."""

    def __init__(self, containers: RunningContainers) -> None:
        self._containers = containers
        self._python = own_python()

    @property
    def python(self) -> str:
        """This program's own Python, without the packages that are installed for it."""
        return self._python.executable

    def close(self) -> None:
        """Kill what still runs. Idempotent."""
        self._containers.close()

    def start(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        folders: Sequence[SharedFolder],
        working_folder: str,
        on_line: Callable[[str], None],
    ) -> Container:
        """Start a command; see ``CommandSandbox.start``."""
        if sys.platform != "linux":
            return FailedContainer(
                f"the commands of a build need a sandbox of Linux namespaces, and this is {sys.platform}; build the "
                "image with `docker build` and push it, or run the local AWS on Linux"
            )
        if self._containers.closed:
            return FailedContainer("the local AWS is stopping")
        try:
            job_folder = self._containers.new_folder("commands")
            rootfs = job_folder / "empty"
            rootfs.mkdir()
            spec = launch_spec(
                host_layout(),
                job_folder=job_folder,
                rootfs=rootfs,
                environment_layer=None,
                python_prefix=self._python.prefix,
                command=command,
                environment=environment,
                working_folder=working_folder,
                name="build",
                binds=[Bind(os.fspath(one.source.resolve()), one.target, one.read_only) for one in folders],
            )
            return self._containers.launch(spec, on_line)
        except OSError as error:
            return FailedContainer(f"the sandbox could not be started: {error}")
