"""A Processing service over a real runtime and services in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stepbridge_local.protocols import Scope
from stepbridge_local.services.sagemaker.service import ProcessingService

from .memory_services import MemoryLogs, MemoryRegistry, MemoryStore
from .recording_runtime import RecordingRuntime

SCOPE = Scope("123456789012", "us-east-1")
IMAGE_URI = "123456789012.dkr.ecr.us-east-1.amazonaws.com/model:1"


@dataclass
class Aws:
    """The local AWS around the service under test. ``open`` makes (and remakes) the service on the same folder."""

    jobs_folder: Path
    runtime: RecordingRuntime
    registry: MemoryRegistry
    store: MemoryStore = field(default_factory=lambda: MemoryStore(data={"in/a.csv": b"1\n2\n"}, code={}))
    logs: MemoryLogs = field(default_factory=MemoryLogs)
    services: list[ProcessingService] = field(default_factory=list)

    def script(self, name: str, text: str) -> dict[str, Any]:
        """Put a script into S3; the input that brings it to /opt/ml/processing/code/main.py."""
        self.store.objects["code"][f"{name}/main.py"] = text.encode()
        return s3_input("code", f"s3://code/{name}/", "/opt/ml/processing/code")

    def open(self, max_concurrent_jobs: int = 4, **settings: Any) -> ProcessingService:
        service = ProcessingService(
            self.store, self.logs, self.registry, self.runtime, self.jobs_folder, max_concurrent_jobs, **settings
        )
        self.services.append(service)
        return service

    def finished(self, request: Mapping[str, Any], timeout_seconds: float = 20) -> dict[str, Any]:
        """Create the job, wait for its end, describe it."""
        service = self.services[-1] if self.services else self.open()
        name = request["ProcessingJobName"]
        service.create(SCOPE, request)
        assert service.wait(SCOPE, name, timeout_seconds), service.describe(SCOPE, name)
        return service.describe(SCOPE, name)

    def output(self, prefix: str = "out/") -> dict[str, bytes]:
        found = self.store.objects["data"].items()
        return {key.removeprefix(prefix): content for key, content in found if key.startswith(prefix)}

    def log(self, stream_prefix: str) -> list[str]:
        (stream,) = [name for _, name in self.logs.lines if name.startswith(stream_prefix)]
        return self.logs.lines["/aws/sagemaker/ProcessingJobs", stream]


def s3_input(name: str, uri: str, path: str = "/opt/ml/processing/input", **members: str) -> dict[str, Any]:
    return {"InputName": name, "S3Input": {"S3Uri": uri, "LocalPath": path, "S3DataType": "S3Prefix", **members}}


def s3_output(name: str, uri: str, path: str = "/opt/ml/processing/output", mode: str = "EndOfJob") -> dict[str, Any]:
    return {"OutputName": name, "S3Output": {"S3Uri": uri, "LocalPath": path, "S3UploadMode": mode}}
