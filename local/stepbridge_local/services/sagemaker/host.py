"""One instance of a job: its ``/opt/ml`` folder, its configuration files, its container."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from stepbridge_local.protocols import ContainerSpec
from stepbridge_local.services.sagemaker.description import processing_job_config, resource_config
from stepbridge_local.services.sagemaker.instance_types import instance_type
from stepbridge_local.services.sagemaker.job import ProcessingJob
from stepbridge_local.services.sagemaker.outcome import EXIT_MESSAGE_MAX_BYTES
from stepbridge_local.services.sagemaker.outputs import create_folders

__all__ = ["Host", "addresses", "hosts_of"]


@dataclass(frozen=True)
class Host:
    """Instance ``index`` (from 0) of a job. ``ml_folder`` is what its container sees as /opt/ml."""

    job: ProcessingJob
    index: int
    ml_folder: Path

    @property
    def name(self) -> str:
        return _host_name(self.index)

    def lay_out(self) -> None:
        """Create the folders and configuration files that SageMaker provides to a container."""
        for folder in ("config", "output", "processing"):
            (self.ml_folder / folder).mkdir(parents=True)
        documents = {
            "processingjobconfig.json": processing_job_config(self.job),
            "resourceconfig.json": resource_config(self.name, list(addresses(self.job))),
        }
        for name, document in documents.items():
            (self.ml_folder / "config" / name).write_text(json.dumps(document), encoding="utf-8")
        create_folders(self.job.request.get("ProcessingOutputConfig", {}).get("Outputs", []), self.ml_folder)

    def container_spec(self, image_id: str) -> ContainerSpec:
        """The container that the CreateProcessingJob request describes."""
        scope, application = self.job.scope, self.job.request["AppSpecification"]
        size = instance_type(self.job.selected_instances[0])
        return ContainerSpec(
            name=f"{scope.account_id}-{scope.region}-{self.job.name}-{self.name}",
            image_id=image_id,
            ml_folder=self.ml_folder,
            entrypoint=application.get("ContainerEntrypoint"),
            arguments=application.get("ContainerArguments"),
            # AWS documents the job's own variables only; AWS_REGION is there too, and the SDK's local mode sets it.
            environment={"AWS_REGION": scope.region} | self.job.request.get("Environment", {}),
            network_isolated=self.job.request.get("NetworkConfig", {}).get("EnableNetworkIsolation", False),
            hostname=self.name,
            hosts=addresses(self.job),
            memory_bytes=size.memory_bytes if size else None,
            cpus=float(size.vcpus) if size else None,
        )

    def log_stream_name(self, epoch_seconds: int) -> str:
        """``<job>/algo-<n>-<epoch>``, as SageMaker names it."""
        return f"{self.job.name}/{self.name}-{epoch_seconds}"

    def message(self) -> bytes:
        """The beginning of /opt/ml/output/message, long enough to see whether it was cut; empty when there is none.

        Symbolic links are not followed, and only a plain file is read: the container may have put anything there.
        """
        folder = self.ml_folder / "output"
        path = folder / "message"
        # The container has ended, so this does not change any more.
        if folder.is_symlink() or path.is_symlink() or not path.is_file():
            return b""
        with path.open("rb") as file:
            return file.read(EXIT_MESSAGE_MAX_BYTES + 1)


def addresses(job: ProcessingJob) -> dict[str, str]:
    """The loopback address of each instance, ``algo-1`` and so on, by its name.

    127.0.0.0/8 is this machine's on Linux. Each job has 254 addresses of its own there, so servers of instances
    do not conflict with each other, with another job or with other programs of this machine.
    """
    digest = hashlib.sha256(job.arn.encode()).digest()
    block = f"127.{1 + digest[0] % 254}.{digest[1]}"
    return {_host_name(index): f"{block}.{1 + index}" for index in range(job.instance_count)}


def hosts_of(job: ProcessingJob, workspace: Path) -> list[Host]:
    """The instances of a job, each with its own folder in the job's workspace."""
    return [Host(job, index, workspace / _host_name(index) / "ml") for index in range(job.instance_count)]


def _host_name(index: int) -> str:
    return f"algo-{index + 1}"
