"""ECR with repositories and images that survive a restart. Builds push into it in process."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from moto.ecr.models import ECRBackend, Image, Repository, ecr_backends

from stepbridge_local.errors import ImageBuildError
from stepbridge_local.persistence.records import Change, Document, RecordName, Records
from stepbridge_local.persistence.reserve import DiskReserve, is_disk_full
from stepbridge_local.protocols import BuiltImage, ContainerRuntime, ImageHolder, Scope, ServiceError
from stepbridge_local.services.ecr.image_uri import ImageUri
from stepbridge_local.services.ecr.manifest import MANIFEST_TYPE, manifest_digest, manifest_of
from stepbridge_local.services.ecr.moto import models, records
from stepbridge_local.services.ecr.stand_in import differences

__all__ = ["MotoImageRegistry"]

_PREBUILT_REPOSITORY = "sagemaker-scikit-learn"
_REPOSITORY = "repository"


class MotoImageRegistry:
    """The ``ImageRegistry`` on moto's ECR, and the writing of its records. Thread safe.

    ``scikit_learn_folder`` holds the Dockerfile of the image that stands for every ``sagemaker-scikit-learn`` image,
    built with ``base_image`` as its BASE_IMAGE argument where given. ``holder`` has the images of a runtime that keeps
    them under other names than their configurations' digests, or may lose them. ``reserve`` is where records go on a
    full disk.
    """

    def __init__(
        self,
        folder: Path,
        runtime: ContainerRuntime,
        scikit_learn_folder: Path,
        base_image: str | None = None,
        holder: ImageHolder | None = None,
        reserve: DiskReserve | None = None,
    ) -> None:
        self._records = Records(folder / "records.sqlite", reserve)
        self._recorded: dict[RecordName, Document] = {}
        self._restored: dict[tuple[str, str], Repository] = {}  # until a stack takes them over
        self._runtime = runtime
        self._scikit_learn_folder = scikit_learn_folder
        self._build_args = {"BASE_IMAGE": base_image} if base_image else {}
        self._holder = holder
        self._prebuilt: str | None = None
        self._prebuilt_config: Mapping[str, Any] = {}
        self._building = threading.RLock()
        self._is_building = False
        self._changing = threading.RLock()

    def install(self) -> None:
        """Bring back the recorded repositories. Raises RuntimeError when moto's ECR was already in use."""
        if len(ecr_backends) or ecr_backends.backend is not ECRBackend:
            raise RuntimeError("moto's ECR is in use already: one process can be one local AWS only")
        models.install()
        for scope, name, (document,) in self._records.load(_REPOSITORY):
            self._restored[(scope, name)] = records.restore(scope, name, document)
            self._recorded[(_REPOSITORY, scope, name)] = document

    def resolve(self, image_uri: str) -> str:
        reference = ImageUri(image_uri)
        repository = _repository(reference)
        image = repository and _image(reference, repository)
        if image:
            return self._held(reference, image)
        if reference.repository_name == _PREBUILT_REPOSITORY:
            return self._prebuilt_for(image_uri)
        if repository is None:
            raise ServiceError("RepositoryNotFoundException", f"{image_uri}: the local ECR has no such repository")
        raise ServiceError("ImageNotFoundException", f"{image_uri}: the repository has no such image")

    def note(self, image_uri: str, image_id: str) -> str:
        """How the stand-in for a prebuilt image differs from it, in one line; empty for other images."""
        reference, file = ImageUri(image_uri), self._scikit_learn_folder / "requirements.txt"
        if image_id != self._prebuilt or reference.repository_name != _PREBUILT_REPOSITORY or not file.is_file():
            return ""
        return differences(self._prebuilt_config, file.read_text(encoding="utf-8"), reference.tag or "")

    def push(self, image_uri: str, image: BuiltImage) -> str:
        """As ``docker push``: the same image under its tag again is fine, another one only where tags are mutable.

        Raises ServiceError RepositoryNotFoundException, ImageTagAlreadyExistsException or InvalidParameterException.
        """
        return self._put(ImageUri(image_uri), manifest_of(image), MANIFEST_TYPE)

    def record(self, image_uri: str, manifest: bytes) -> str:
        """Like ``push``, for an image with a known manifest, so its digest is the registry's."""
        text = manifest.decode()
        return self._put(ImageUri(image_uri), text, json.loads(text).get("mediaType", MANIFEST_TYPE))

    def find_digest(self, scope: Scope, repository_name: str, tag: str) -> str | None:
        repository = ecr_backends[scope.account_id][scope.region].repositories.get(repository_name)
        if repository is None:
            raise ServiceError("RepositoryNotFoundException", models.no_repository(scope.account_id, repository_name))
        return next((image.get_image_digest() for image in repository.images if tag in image.image_tags), None)

    def _put(self, reference: ImageUri, manifest: str, media_type: str) -> str:
        digest = manifest_digest(manifest)
        with self._changing:
            repository = _repository(reference)
            if repository is None:
                raise ServiceError(
                    "RepositoryNotFoundException", f"{reference.text}: the local ECR has no such repository"
                )
            tagged = reference.tag and next((i for i in repository.images if reference.tag in i.image_tags), None)
            if tagged and tagged.get_image_digest() == digest:
                return digest
            if tagged and repository.is_tag_immutable():
                raise ServiceError(
                    "ImageTagAlreadyExistsException",
                    f"The image tag '{reference.tag}' already exists in the '{repository.name}' repository and cannot "
                    "be overwritten because the tag is immutable.",
                )
            backend = ecr_backends[reference.scope.account_id][reference.scope.region]
            tag: Any = reference.tag  # None, for a push by digest: no tag
            before = [(image, list(image.image_tags)) for image in repository.images]
            backend.put_image(repository.name, manifest, tag, media_type, digest)
            try:
                self.flush()
            except (OSError, sqlite3.Error) as error:
                if not is_disk_full(error):
                    raise
                repository.images = [image for image, _ in before]
                for image, tags in before:
                    image.image_tags = tags
                message = f"{reference.text}: no space is left on the disk of the local AWS's data folder"
                raise ServiceError("LimitExceededException", message) from error
        return digest

    def _held(self, reference: ImageUri, image: Image) -> str:
        # An index of several manifests has no configuration.
        config_digest: str = json.loads(image.image_manifest).get("config", {}).get("digest", "")
        if self._holder is None:
            return config_digest
        try:
            return self._holder.hold(
                reference.scope, reference.repository_name, image.get_image_digest(), config_digest
            )
        except LookupError as error:
            raise ServiceError("ImageNotFoundException", f"{reference.text}: {error}") from error

    def build_prebuilt(self, log: Callable[[str], None]) -> str:
        """The ``image_id`` of the prebuilt scikit-learn image. Builds it if it is missing. Raises ImageBuildError."""
        with self._building:
            if self._prebuilt is None or (self._holder is not None and not self._holder.has(self._prebuilt)):
                self._refuse_recursion()
                self._is_building = True
                try:
                    built = self._runtime.build(self._scikit_learn_folder, "Dockerfile", self._build_args, log)
                    self._prebuilt, self._prebuilt_config = built.image_id, built.config
                finally:
                    self._is_building = False
            return self._prebuilt

    def _refuse_recursion(self) -> None:
        if self._is_building:
            raise ImageBuildError(
                str(self._scikit_learn_folder / "Dockerfile"),
                f"starts FROM {_PREBUILT_REPOSITORY}, for which it is to stand",
                "a base image of its own",
            )

    def take_restored(self, account_id: str, region: str, repository_name: str) -> bool:
        """Whether the repository was restored after a restart. True only once, for the stack that takes it over."""
        restored = self._restored.pop((f"{account_id}/{region}", repository_name), None)
        return restored is not None and restored is ecr_backends[account_id][region].repositories.get(repository_name)

    def flush(self) -> None:
        """Write what has changed since the last call."""
        with self._changing:
            current = {
                (_REPOSITORY, f"{account_id}/{region}", name): records.document_of(backend, repository)
                for account_id, backends in list(ecr_backends.items())
                for region, backend in list(backends.items())
                for name, repository in list(backend.repositories.items())
            }
            changes: list[Change] = [
                (name, [current[name]] if name in current else [])
                for name in current.keys() | self._recorded.keys()
                if current.get(name) != self._recorded.get(name)
            ]
            if changes:
                self._records.replace(changes)
                self._recorded = current

    def close(self) -> None:
        self.flush()
        self._records.close()

    def _prebuilt_for(self, image_uri: str) -> str:
        lines: list[str] = []
        try:
            return self.build_prebuilt(lines.append)
        except ImageBuildError as error:
            message = f"{image_uri}: the image that stands for it could not be built: {error}"
            raise ServiceError("ImageNotFoundException", message) from error


def _repository(reference: ImageUri) -> Repository | None:
    return ecr_backends[reference.scope.account_id][reference.scope.region].repositories.get(reference.repository_name)


def _image(reference: ImageUri, repository: Repository) -> Image | None:
    """The image with this digest, or else with this tag; a digest wins over a tag, as for docker."""
    for image in repository.images:
        found = image.get_image_digest() == reference.digest if reference.digest else reference.tag in image.image_tags
        if found:
            return image
    return None
