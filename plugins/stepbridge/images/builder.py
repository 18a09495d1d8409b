"""What builds an image: the protocol between BuildImageOperator and a build service."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from stepbridge.errors import ImageBuildError
from stepbridge.images.build_context import FolderFile

__all__ = ["BuildRequest", "Builder", "StartedBuild"]


@dataclass(frozen=True)
class BuildRequest:
    """An image to build. ``digest`` is the image digest, ``tag`` the image's tag in ECR.

    A second request with the same ``idempotency_token`` starts no second build.
    """

    files: Sequence[FolderFile]
    dockerfile: str
    build_args: Mapping[str, str]
    digest: str
    tag: str
    idempotency_token: str


@dataclass(frozen=True)
class StartedBuild:
    """A build that has been started. ``id`` and ``arn`` are the build service's."""

    id: str
    arn: str


class Builder(Protocol):
    """Builds images and pushes them to the model's repository. Every method raises ``AwsError``."""

    def running(self, tag: str) -> StartedBuild | None:
        """A build of ``tag`` that has not ended, whoever started it."""

    def start(self, request: BuildRequest) -> StartedBuild:
        """Start a build and return at once."""

    def wait(self, build: StartedBuild, on_line: Callable[[str], None]) -> ImageBuildError | None:
        """Return once the build has ended: its failure, or None. ``on_line`` gets each line of its log."""

    def stop(self, build: StartedBuild) -> None:
        """Stop the build; nothing happens to one that has ended."""
