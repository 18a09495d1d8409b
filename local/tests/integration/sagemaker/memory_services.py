"""S3, CloudWatch Logs and ECR for tests, in memory, with the contracts of ``stepbridge_local.protocols``."""
# ruff: noqa: ARG002 (one account and region is enough here)

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from time import monotonic

from stepbridge_local.protocols import BuiltImage, ObjectSummary, Scope, ServiceError


class MemoryStore:
    """Buckets of objects: ``objects[bucket][key]`` is the content."""

    def __init__(self, **buckets: Mapping[str, bytes]) -> None:
        self.objects = {name: dict(objects) for name, objects in buckets.items()}

    def list_objects(self, scope: Scope, bucket: str, prefix: str) -> Iterator[ObjectSummary]:
        for key, content in sorted(self._bucket(bucket).items()):
            if key.startswith(prefix):
                yield ObjectSummary(key, len(content), hashlib.md5(content).hexdigest(), datetime.now(UTC))

    def download(self, scope: Scope, bucket: str, key: str, destination: Path) -> None:
        destination.write_bytes(b"".join(self.read(scope, bucket, key)))

    def read(self, scope: Scope, bucket: str, key: str) -> Iterator[bytes]:
        if key not in self._bucket(bucket):
            raise ServiceError("NoSuchKey", "The specified key does not exist.", 404)
        content = self._bucket(bucket)[key]
        return iter([content[start : start + 1000] for start in range(0, len(content), 1000)])

    def upload(self, scope: Scope, source: Path, bucket: str, key: str) -> None:
        self._bucket(bucket)[key] = source.read_bytes()

    def _bucket(self, name: str) -> dict[str, bytes]:
        if name not in self.objects:
            raise ServiceError("NoSuchBucket", "The specified bucket does not exist", 404)
        return self.objects[name]


class MemoryLogs:
    """``lines[group, stream]``, and when each batch came."""

    def __init__(self) -> None:
        self.lines: dict[tuple[str, str], list[str]] = defaultdict(list)
        self.batch_times: list[float] = []
        self._lock = Lock()

    def write(self, scope: Scope, group: str, stream: str, lines: Sequence[str]) -> None:
        with self._lock:
            self.batch_times.append(monotonic())
            self.lines[group, stream].extend(lines)


class MemoryRegistry:
    """Image ids by URI."""

    def __init__(self, **images: str) -> None:
        self.images = images

    def resolve(self, image_uri: str) -> str:
        try:
            return self.images[image_uri.rpartition("/")[2].partition(":")[0]]
        except KeyError:
            raise ServiceError("RepositoryNotFoundException", f"{image_uri} is in no repository") from None

    def note(self, image_uri: str, image_id: str) -> str:
        return ""

    def push(self, image_uri: str, image: BuiltImage) -> str:
        raise NotImplementedError("tests of Processing push no images")
