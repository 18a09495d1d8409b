"""Image builds in CodeBuild.

The build context goes to S3 as a zip. The project and its buildspec (infra/stack.yaml) build the image and push it.
"""

import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from stepbridge.aws.arns import S3Uri
from stepbridge.aws.codebuild import Build, CodeBuild
from stepbridge.aws.logs import CloudWatchLogs, LogTail
from stepbridge.aws.s3 import S3
from stepbridge.errors import ImageBuildError, NotFoundError
from stepbridge.images.build_context import FolderFile, write_zip
from stepbridge.images.build_failure import CommandOutput, build_failure

FIRST_POLL_SECONDS: Final = 0.3
POLL_GROWTH: Final = 1.5
TAG_VARIABLE: Final = "IMAGE_TAG"


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
class CodeBuildBuilder:
    """Builds images and pushes them to the model's repository. Every method raises ``AwsError``.

    ``source_prefix`` is where the zips go, ``repository_uri`` where the project pushes the image. ``poll_seconds`` is
    the longest time between two polls of a build; the first ones follow each other faster.
    """

    codebuild: CodeBuild
    logs: CloudWatchLogs
    s3: S3
    project: str
    source_prefix: S3Uri
    repository_uri: str
    poll_seconds: float

    def running(self, tag: str) -> Build | None:
        """A build of ``tag`` that has not ended, among the project's latest hundred."""
        builds = self.codebuild.running(self.project)
        return next((build for build in builds if build.environment.get(TAG_VARIABLE) == tag), None)

    def start(self, request: BuildRequest) -> Build:
        """Start a build, with the variables that the project's buildspec reads, and return at once."""
        source = self.source_prefix.child(f"{request.digest}.zip")
        self._upload(request.files, source)
        environment = {
            "IMAGE_REPOSITORY_URI": self.repository_uri,
            TAG_VARIABLE: request.tag,
            "DOCKERFILE": request.dockerfile,
            "BUILD_ARGS": json.dumps(dict(request.build_args), sort_keys=True),
        }
        location = f"{source.bucket}/{source.key}"
        return self.codebuild.start(self.project, location, environment, request.idempotency_token)

    def wait(self, build: Build, on_line: Callable[[str], None]) -> ImageBuildError | None:
        """Return its failure or None once it has ended. ``on_line`` gets each line of its commands."""
        output = CommandOutput(on_line)
        tail: LogTail | None = None
        pause = FIRST_POLL_SECONDS
        while True:
            time.sleep(pause)
            pause = min(pause * POLL_GROWTH, self.poll_seconds)
            try:
                found = self.codebuild.describe(build.id)
            except NotFoundError:
                return ImageBuildError(f"image build {build.id}", "it vanished while it ran", "", "clear build_image")
            if tail is None and found.log_group and found.log_stream:
                tail = self.logs.tail(found.log_group, found.log_stream)
            for line in tail.new_lines() if tail else []:
                output.add(line)
            if found.ended:
                return None if found.succeeded else _failure(found, [*output.lines])

    def stop(self, build: Build) -> None:
        """Stop the build; nothing happens to one that has ended."""
        self.codebuild.stop(build.id)

    def _upload(self, files: Sequence[FolderFile], source: S3Uri) -> None:
        if self.s3.exists(source):
            return
        with tempfile.TemporaryDirectory() as folder:
            archive = Path(folder, "context.zip")
            with archive.open("wb") as target:
                write_zip(files, target)
            self.s3.upload(archive, source)


def _failure(build: Build, log_lines: Sequence[str]) -> ImageBuildError:
    phase = build.failed_phase
    where, message = (phase.type, phase.message) if phase else (build.current_phase, "")
    return build_failure(build.id, build.status, where, message, log_lines)
