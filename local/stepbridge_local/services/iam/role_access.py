"""S3, CloudWatch Logs and ECR used as a role: what the role may not do is denied."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from stepbridge_local.partitions import partition
from stepbridge_local.protocols import (
    BuiltImage,
    ImageRegistry,
    LogSink,
    ObjectStore,
    ObjectSummary,
    Scope,
    ServiceError,
)
from stepbridge_local.services.iam.decision import Need
from stepbridge_local.services.iam.permissions import AssumedRole

__all__ = ["RoleLogs", "RoleRegistry", "RoleStore", "log_stream_needs", "login_needs", "pull_needs"]

_log = logging.getLogger(__name__)
_IMAGE: Final = re.compile(
    r"(?P<account>\d{12})\.dkr\.ecr(?:-fips)?\.(?P<region>[a-z0-9-]+)\.[a-z0-9.-]+/(?P<name>[^:@\s]+)(?:[:@]\S+)?"
)
_PULL: Final = ("ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")
_PUSH: Final = (
    "ecr:BatchCheckLayerAvailability",
    "ecr:InitiateLayerUpload",
    "ecr:UploadLayerPart",
    "ecr:CompleteLayerUpload",
    "ecr:PutImage",
)


def login_needs() -> list[Need]:
    """The needs of a login to ECR."""
    return [Need("ecr:GetAuthorizationToken", "*")]


def pull_needs(image_uri: str) -> list[Need]:
    """The needs of pulling the image, without the login; empty for an image outside ECR."""
    return _image_needs(image_uri, _PULL)


def log_stream_needs(scope: Scope, group: str, stream: str) -> list[Need]:
    """The needs of creating a log stream."""
    return [Need("logs:CreateLogStream", _stream_arn(scope, group, stream))]


class RoleStore:
    """The ``ObjectStore``, used by a role. Raises ServiceError AccessDenied as well."""

    def __init__(self, store: ObjectStore, role: AssumedRole) -> None:
        self._store = store
        self._role = role

    def list_objects(self, scope: Scope, bucket: str, prefix: str) -> Iterator[ObjectSummary]:
        resource = f"arn:{partition(scope.region)}:s3:::{bucket}"
        self._role.require([Need("s3:ListBucket", resource, {"s3:prefix": (prefix,)})])
        return self._store.list_objects(scope, bucket, prefix)

    def download(self, scope: Scope, bucket: str, key: str, destination: Path) -> None:
        self._require("s3:GetObject", scope, bucket, key)
        self._store.download(scope, bucket, key, destination)

    def read(self, scope: Scope, bucket: str, key: str) -> Iterator[bytes]:
        self._require("s3:GetObject", scope, bucket, key)
        return self._store.read(scope, bucket, key)

    def upload(self, scope: Scope, source: Path, bucket: str, key: str) -> None:
        self._require("s3:PutObject", scope, bucket, key)
        self._store.upload(scope, source, bucket, key)

    def _require(self, action: str, scope: Scope, bucket: str, key: str) -> None:
        self._role.require([Need(action, f"arn:{partition(scope.region)}:s3:::{bucket}/{key}")])


class RoleLogs:
    """The ``LogSink``, used by a role. Without the permission, lines are dropped and the job continues, as on AWS."""

    def __init__(self, logs: LogSink, role: AssumedRole) -> None:
        self._logs = logs
        self._role = role

    def write(self, scope: Scope, group: str, stream: str, lines: Sequence[str]) -> None:
        put = Need("logs:PutLogEvents", _stream_arn(scope, group, stream))
        try:
            self._role.require([*log_stream_needs(scope, group, stream), put])
        except ServiceError as error:
            _log.warning("%s:%s: %d lines are lost: %s", group, stream, len(lines), error)
            return
        self._logs.write(scope, group, stream, lines)


class RoleRegistry:
    """The ``ImageRegistry``, used by a role. Raises ServiceError AccessDeniedException as well."""

    def __init__(self, registry: ImageRegistry, role: AssumedRole) -> None:
        self._registry = registry
        self._role = role

    def resolve(self, image_uri: str) -> str:
        self._role.require([*login_needs(), *pull_needs(image_uri)])
        return self._registry.resolve(image_uri)

    def note(self, image_uri: str, image_id: str) -> str:
        return self._registry.note(image_uri, image_id)

    def push(self, image_uri: str, image: BuiltImage) -> str:
        self._role.require(_image_needs(image_uri, _PUSH))
        return self._registry.push(image_uri, image)

    def record(self, image_uri: str, manifest: bytes) -> str:
        self._role.require(_image_needs(image_uri, _PUSH))
        return self._registry.record(image_uri, manifest)

    def find_digest(self, scope: Scope, repository_name: str, tag: str) -> str | None:
        repository_arn = _repository_arn(scope.region, scope.account_id, repository_name)
        self._role.require([Need("ecr:BatchGetImage", repository_arn)])
        return self._registry.find_digest(scope, repository_name, tag)


def _image_needs(image_uri: str, actions: Sequence[str]) -> list[Need]:
    image = _IMAGE.fullmatch(image_uri)
    if image is None:
        return []
    return [Need(action, _repository_arn(image["region"], image["account"], image["name"])) for action in actions]


def _repository_arn(region: str, account_id: str, name: str) -> str:
    return f"arn:{partition(region)}:ecr:{region}:{account_id}:repository/{name}"


def _stream_arn(scope: Scope, group: str, stream: str) -> str:
    prefix = f"arn:{partition(scope.region)}:logs:{scope.region}:{scope.account_id}"
    return f"{prefix}:log-group:{group}:log-stream:{stream}"
