"""The services behind one local AWS endpoint, as the composition root built them."""

from __future__ import annotations

from dataclasses import dataclass

from stepbridge_local.fault_injection.active_faults import FaultInjection
from stepbridge_local.persistence.executions import ExecutionRecords
from stepbridge_local.persistence.reserve import DiskReserve
from stepbridge_local.protocols import ContainerRuntime
from stepbridge_local.services.codebuild.service import BuildService
from stepbridge_local.services.ecr.moto.registry import MotoImageRegistry
from stepbridge_local.services.iam.moto.authorization import MotoDirectory
from stepbridge_local.services.iam.permissions import Permissions
from stepbridge_local.services.logs.moto import MotoLogSink
from stepbridge_local.services.s3.moto.store import MotoObjectStore
from stepbridge_local.services.sagemaker.service import ProcessingService
from stepbridge_local.settings import LocalAwsSettings

__all__ = ["LocalServices"]


@dataclass(frozen=True)
class LocalServices:
    """Everything that answers requests. ``endpoint_url`` is where the local AWS answers."""

    settings: LocalAwsSettings
    endpoint_url: str
    store: MotoObjectStore
    logs: MotoLogSink
    registry: MotoImageRegistry
    runtime: ContainerRuntime
    processing: ProcessingService
    builds: BuildService
    executions: ExecutionRecords
    fault_injection: FaultInjection
    directory: MotoDirectory
    permissions: Permissions
    reserve: DiskReserve
