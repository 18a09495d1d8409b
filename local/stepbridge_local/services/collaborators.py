"""What the moto seams are given: every collaborator of the local AWS, built once by the composition root."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from stepbridge_local.fault_injection.board import Disturbances
from stepbridge_local.protocols import ContainerRuntime, DockerCommandsFactory, ImageRegistry, LogSink, ObjectStore
from stepbridge_local.services.iam.gate import UNENFORCED, Permissions
from stepbridge_local.services.sagemaker.service import ProcessingService
from stepbridge_local.settings import LocalAwsSettings

__all__ = ["LocalServices"]


@dataclass(frozen=True)
class LocalServices:
    """The services behind one local AWS endpoint. ``server.LocalAws`` builds it; ``moto_seams.install`` connects it.

    ``endpoint_url`` is where the local AWS answers, for the parts of it that are clients of others.
    """

    settings: LocalAwsSettings
    store: ObjectStore
    logs: LogSink
    registry: ImageRegistry
    runtime: ContainerRuntime
    docker_commands: DockerCommandsFactory
    processing: ProcessingService
    endpoint_url: str = ""
    stop_hooks: list[Callable[[], None]] = field(default_factory=list)
    disturbances: Disturbances = field(default_factory=Disturbances)
    permissions: Permissions = UNENFORCED

    def at_stop(self, hook: Callable[[], None]) -> None:
        """Run ``hook`` when the local AWS stops: after the last request, before jobs are stopped and records closed."""
        self.stop_hooks.append(hook)
