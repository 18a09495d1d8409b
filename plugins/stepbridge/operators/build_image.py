"""BuildImageOperator: the model's image is in ECR, built only if its content is new."""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from stepbridge.aws.arns import S3Uri
from stepbridge.aws.codebuild import Build
from stepbridge.aws.logs import LogTail
from stepbridge.core.names import image_tag
from stepbridge.errors import NotFoundError, StepbridgeError
from stepbridge.images.build_context import FolderFile, build_context, build_digest, write_zip
from stepbridge.images.build_failure import BuildFailedError, CommandOutput
from stepbridge.links.addresses import build_address
from stepbridge.links.stepbridge import BuildLink
from stepbridge.operators.base import CONTAINER_STAGE, StepbridgeOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

__all__ = ["BuildImageOperator"]

FIRST_POLL_SECONDS: Final = 0.3
POLL_GROWTH: Final = 1.5
TAG_VARIABLE: Final = "IMAGE_TAG"


class BuildImageOperator(StepbridgeOperator):
    """Make sure that the image of ``context_folder`` is in ECR, and return its URI pinned by ``@sha256:``.

    The tag is the digest of the build context (as .dockerignore leaves it), the Dockerfile's name and the build
    arguments. If ECR has it, the task ends at once. Otherwise CodeBuild builds it from a zip in S3, and the task waits
    and copies the build's log into its own. A build of the same tag that runs already (another run's, or this task's
    before its worker died) is adopted. A killed task stops the build that it started.

    :param context_folder: the build context, with the Dockerfile in it.
    :param dockerfile: the Dockerfile's path below ``context_folder``.
    :param build_args: ``docker build --build-arg``. (templated)
    :param poll_seconds: the longest time between two looks at the build; it begins with less.
    """

    template_fields: Sequence[str] = (*StepbridgeOperator.template_fields, "context_folder", "build_args")
    template_fields_renderers = {"build_args": "json"}  # noqa: RUF012  Airflow's own declaration
    operator_extra_links = (BuildLink(),)

    def __init__(
        self,
        *,
        context_folder: str | Path,
        dockerfile: str = "Dockerfile",
        build_args: Mapping[str, str] | None = None,
        poll_seconds: float = 5.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.context_folder = str(context_folder)
        self.dockerfile = dockerfile
        self.build_args = dict(build_args or {})
        self.poll_seconds = poll_seconds
        self._started_build = ""

    def execute(self, context: Context) -> str | None:
        """The image's URI, ``<repository>@sha256:<64 hex>``; None when no wanted stage runs in it.

        Raises BuildFailedError, FolderError, DeploymentDocumentError and ``AwsError``.
        """
        if CONTAINER_STAGE not in self.wanted_stages(context):
            self.log.info("%s is not among the stages of this run: it needs no image", CONTAINER_STAGE)
            return None
        files = build_context(Path(self.context_folder), self.dockerfile)
        digest = build_digest(files, self.dockerfile, self.build_args)
        tag = image_tag(self.model, digest)
        if pinned := self._pinned(tag):
            self.log.info("%s is there as tag %s: nothing to build", pinned, tag)
            return pinned
        build = self._adopted(tag)
        if build is None and (pinned := self._pinned(tag)):
            self.log.info("%s is there as tag %s: a build has ended between two looks", pinned, tag)
            return pinned
        return self._built(context, build or self._started(context, files, digest, tag), tag)

    def _built(self, context: Context, build: Build, tag: str) -> str:
        """The pinned URI once the build has ended. An image that another build pushed meanwhile is as good."""
        BuildLink.push(context, build_address(build.arn, self.hook.local_endpoint("codebuild")))
        build, last_lines = self._ended(build)
        if pinned := self._pinned(tag):
            self.log.info("%s is there as tag %s", pinned, tag)
            return pinned
        if not build.succeeded:
            phase = build.failed_phase
            where, message = (phase.type, phase.message) if phase else (build.current_phase, "")
            raise BuildFailedError(build.id, build.status, where, message, last_lines)
        raise StepbridgeError(
            f"image build {build.id}",
            f"it succeeded, but {self.deployed.repository_name} has no image {tag}",
            "the build to push the image that it was asked for",
            "look at the push in the build's log above, and at the project's buildspec",
        )

    def on_kill(self) -> None:
        """Stop the build if this task started it."""
        if self._started_build:
            self.log.warning("stopping image build %s: the task was killed", self._started_build)
            self.hook.codebuild.stop(self._started_build)

    def _pinned(self, tag: str) -> str | None:
        digest = self.hook.ecr.image_digest(self.deployed.repository_name, tag)
        return f"{self.deployed.repository_uri}@{digest}" if digest else None

    def _adopted(self, tag: str) -> Build | None:
        running = self.hook.codebuild.running(self.deployed.codebuild_project)
        build = next((build for build in running if build.environment.get(TAG_VARIABLE) == tag), None)
        if build:
            self.log.info("image build %s of %s runs already: waiting for it", build.id, tag)
        return build

    def _started(self, context: Context, files: Sequence[FolderFile], digest: str, tag: str) -> Build:
        source = S3Uri(self.deployed.bucket, f"stepbridge/builds/{self.model}/{digest}.zip")
        if not self.hook.s3.exists(source):
            with tempfile.TemporaryDirectory() as folder:
                archive = Path(folder, "context.zip")
                with archive.open("wb") as target:
                    write_zip(files, target)
                self.log.info("uploading %d files (%d bytes) to %s", len(files), archive.stat().st_size, source)
                self.hook.s3.upload(archive, source)
        environment = {
            "IMAGE_REPOSITORY_URI": self.deployed.repository_uri,
            TAG_VARIABLE: tag,
            "DOCKERFILE": self.dockerfile,
            "BUILD_ARGS": json.dumps(self.build_args, sort_keys=True),
        }
        build = self.hook.codebuild.start(
            self.deployed.codebuild_project, f"{source.bucket}/{source.key}", environment, _token(context, tag)
        )
        self._started_build = build.id
        self.log.info("image build %s of %s started", build.id, tag)
        return build

    def _ended(self, build: Build) -> tuple[Build, list[str]]:
        """The build once it has ended, and what its failed command said last; all lines go into the task's log."""
        output = CommandOutput()
        tail: LogTail | None = None
        pause = FIRST_POLL_SECONDS
        while True:
            if tail is None and build.log_group and build.log_stream:
                tail = self.hook.logs.tail(build.log_group, build.log_stream)
            for line in tail.new_lines() if tail else []:
                output.add(line)
                self.log.info("[build] %s", line)
            if build.ended:
                self._started_build = ""
                return build, output.lines
            time.sleep(pause)
            pause = min(pause * POLL_GROWTH, self.poll_seconds)
            build = self._looked_at(build)

    def _looked_at(self, build: Build) -> Build:
        try:
            return self.hook.codebuild.describe(build.id)
        except NotFoundError as fault:
            raise StepbridgeError(
                f"image build {build.id}", "it vanished while it ran", "", "run the task again"
            ) from fault


def _token(context: Context, tag: str) -> str:
    """One StartBuild per try, however often the call is repeated.

    The try is part of it because CodeBuild answers a known token with the build it stands for, a failed one too.
    """
    instance = context["ti"]
    key = [instance.dag_id, instance.run_id, instance.task_id, instance.map_index, instance.try_number, tag]
    return hashlib.sha256(json.dumps(key).encode()).hexdigest()
