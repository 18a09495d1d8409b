"""BuildImageOperator: the model's image is in ECR, built only if its content is new."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from airflow.sdk import Context

from stepbridge.aws.arns import S3Uri
from stepbridge.aws.codebuild import Build
from stepbridge.core.names import image_tag
from stepbridge.errors import ImageBuildError
from stepbridge.hooks.stop_thread import StopThread
from stepbridge.images.build_context import FolderFile, build_context, entries_of
from stepbridge.images.codebuild import BuildRequest, CodeBuildBuilder
from stepbridge.images.digest import image_digest
from stepbridge.links.addresses import build_address
from stepbridge.links.stepbridge import BuildLink
from stepbridge.operators.base import CONTAINER_STAGE, StepbridgeOperator
from stepbridge.triggers.stop_reasons import kill_reason


class BuildImageOperator(StepbridgeOperator):
    """Make sure that the image of ``context_folder`` is in ECR, and return its URI pinned by ``@sha256:``.

    The tag is the digest of the build context (as .dockerignore leaves it), the Dockerfile's name and the build
    arguments. If ECR has it, the task ends at once. Otherwise CodeBuild builds it from a zip in S3, and the task waits
    and copies the build's log into its own. A running build of the same tag (another run's, or this task's before
    its worker died) is adopted. A killed task stops the build that it started.

    :param context_folder: the build context, with the Dockerfile in it.
    :param dockerfile: the Dockerfile's path below ``context_folder``.
    :param build_args: ``docker build --build-arg``. (templated)
    :param poll_seconds: the longest time between two polls of the build; the first ones follow each other faster.
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
        self._own_build: Build | None = None
        self._task_instance: Any = None

    def execute(self, context: Context) -> str | None:
        """The image's URI, ``<repository>@sha256:<64 hex>``; None when no wanted stage runs in it.

        Raises ImageBuildError, FolderError, DeploymentDocumentError and ``AwsError``.
        """
        if CONTAINER_STAGE not in self.wanted_stages(context):
            self.log.info("%s is not among the stages of this run: it needs no image", CONTAINER_STAGE)
            return None
        self._task_instance = context["ti"]
        files, digest, tag = self._content()
        if pinned := self._pinned(tag):
            self.log.info("%s is there as tag %s: nothing to build", pinned, tag)
            return pinned
        if build := self._builder.running(tag):
            self.log.info("image build %s of %s is running already: waiting for it", build.id, tag)
        elif pinned := self._pinned(tag):
            self.log.info("%s is there as tag %s: a build of it has just ended", pinned, tag)
            return pinned
        else:
            request = BuildRequest(files, self.dockerfile, self.build_args, digest, tag, _token(context, tag))
            build = self._own_build = self._builder.start(request)
            self.log.info("image build %s of %s started from %d files", build.id, tag, len(files))
            self.on_kill()  # which found nothing to stop, if it came before the answer
        return self._built(context, build, tag)

    def differs_from(self, image_uri: str) -> bool:
        """Whether the folder has changed since it became this image; False for an image from elsewhere."""
        return (
            image_uri.startswith(f"{self.deployed.repository_uri}@") and self._pinned(self._content()[2]) != image_uri
        )

    def on_kill(self) -> None:
        """Stop the build if this task started it and was ended by somebody."""
        if build := self._own_build:

            def stop(why: str) -> None:
                self.log.warning("stopping image build %s: the task was %s", build.id, why)
                self._builder.stop(build)

            StopThread(kill_reason(self._task_instance), stop).wait()

    def _content(self) -> tuple[list[FolderFile], str, str]:
        """The files of the build context, their digest, and the tag that follows from it."""
        files = build_context(Path(self.context_folder), self.dockerfile)
        digest = image_digest(entries_of(files), self.dockerfile, self.build_args)
        return files, digest, image_tag(self.model, digest)

    @cached_property
    def _builder(self) -> CodeBuildBuilder:
        return CodeBuildBuilder(
            self.hook.codebuild,
            self.hook.logs,
            self.hook.s3,
            project=self.deployed.codebuild_project,
            source_prefix=S3Uri(self.deployed.bucket, f"stepbridge/builds/{self.model}"),
            repository_uri=self.deployed.repository_uri,
            poll_seconds=self.poll_seconds,
        )

    def _pinned(self, tag: str) -> str | None:
        digest = self.hook.ecr.image_digest(self.deployed.repository_name, tag)
        return f"{self.deployed.repository_uri}@{digest}" if digest else None

    def _built(self, context: Context, build: Build, tag: str) -> str:
        """The pinned URI once the build has ended. An image that another build pushed meanwhile is as good."""
        BuildLink.push(context, build_address(build.arn, self.hook.local_endpoint("codebuild")))
        failure = self._builder.wait(build, lambda line: self.log.info("[build] %s", line))
        self._own_build = None
        if pinned := self._pinned(tag):
            self.log.info("%s is there as tag %s", pinned, tag)
            return pinned
        raise failure or ImageBuildError(
            f"image build {build.id}",
            f"it succeeded, but {self.deployed.repository_name} has no image {tag}",
            "the build to push the image that it was asked for",
            "check the push in the build's log above, and the project's buildspec",
        )


def _token(context: Context, tag: str) -> str:
    """One StartBuild per try, however often the call is repeated.

    The try is part of it because CodeBuild answers a known token with the build it stands for, a failed one too.
    """
    instance = context["ti"]
    key = [instance.dag_id, instance.run_id, instance.task_id, instance.map_index, instance.try_number, tag]
    return hashlib.sha256(json.dumps(key).encode()).hexdigest()
