"""A container runtime that tests can look into."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from stepbridge_local.protocols import BuiltImage, Container, ContainerRuntime, ContainerSpec


class RecordingRuntime:
    """Another runtime, and what was started on it. ``wrap`` may replace each container."""

    def __init__(self, runtime: ContainerRuntime) -> None:
        self.runtime = runtime
        self.name = runtime.name
        self.started: list[ContainerSpec] = []
        self.containers: list[Container] = []
        self.wrap: Callable[[Container], Container] = lambda container: container

    def build(
        self, context: Path, dockerfile: str, build_args: Mapping[str, str], log: Callable[[str], None]
    ) -> BuiltImage:
        return self.runtime.build(context, dockerfile, build_args, log)

    def start(self, spec: ContainerSpec, on_line: Callable[[str], None]) -> Container:
        self.started.append(spec)
        self.containers.append(self.wrap(self.runtime.start(spec, on_line)))
        return self.containers[-1]

    def close(self) -> None:
        self.runtime.close()
