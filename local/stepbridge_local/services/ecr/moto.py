"""ECR whose repositories and images survive a restart, and into which builds push in process."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from moto.core.responses import ActionResult
from moto.ecr.models import ECRBackend, Image, Repository, ecr_backends
from moto.ecr.responses import ECRResponse

from stepbridge_local.errors import ImageBuildError
from stepbridge_local.persistence.records import Change, Document, RecordName, Records
from stepbridge_local.protocols import BuiltImage, ContainerRuntime, ImageHolder, Scope, ServiceError
from stepbridge_local.services.moto.api_errors import ApiError
from stepbridge_local.services.moto.replacement import replace

__all__ = ["MotoImageRegistry"]

_PREBUILT_REPOSITORY = "sagemaker-scikit-learn"
_REPOSITORY = "repository"
_MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
_URI = re.compile(
    r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.[a-z0-9.-]+/(?P<name>[a-z0-9][a-z0-9._/-]*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)
_REPOSITORY_FIELDS = (
    "image_tag_mutability",
    "image_tag_mutability_exclusion_filters",
    "image_scanning_configuration",
    "encryption_configuration",
    "policy",
    "lifecycle_policy",
    "scanning_config",
)


class _ImageReference:
    """An image URI taken apart. Raises ServiceError InvalidParameterException."""

    def __init__(self, uri: str) -> None:
        match = _URI.fullmatch(uri)
        if match is None:
            raise ServiceError(
                "InvalidParameterException",
                f"{uri}: not an image URI of ECR, <account>.dkr.ecr.<region>.amazonaws.com/<repository>:<tag>",
            )
        self.uri = uri
        self.scope = Scope(match["account"], match["region"])
        self.repository_name = match["name"]
        self.digest: str | None = match["digest"]
        self.tag: str | None = match["tag"] or (None if self.digest else "latest")

    def repository(self) -> Repository | None:
        return ecr_backends[self.scope.account_id][self.scope.region].repositories.get(self.repository_name)

    def image_in(self, repository: Repository) -> Image | None:
        """The image with this digest, or else with this tag; a digest wins over a tag, as for docker."""
        for image in repository.images:
            found = image.get_image_digest() == self.digest if self.digest else self.tag in image.image_tags
            if found:
                return image
        return None


class MotoImageRegistry:
    """The ``ImageRegistry`` on moto's ECR, and the writing of its records. Thread safe.

    ``scikit_learn_folder`` holds the Dockerfile of the image that stands for every ``sagemaker-scikit-learn`` image,
    built with ``base_image`` as its BASE_IMAGE argument where given. ``holder`` has the images of a runtime that keeps
    them under other names than their configurations' digests, or may lose them.
    """

    def __init__(
        self,
        folder: Path,
        runtime: ContainerRuntime,
        scikit_learn_folder: Path,
        base_image: str | None = None,
        holder: ImageHolder | None = None,
    ) -> None:
        self._records = Records(folder / "records.sqlite")
        self._recorded: dict[RecordName, Document] = {}
        self._restored: dict[tuple[str, str], Repository] = {}  # until a stack takes them
        self._runtime = runtime
        self._scikit_learn_folder = scikit_learn_folder
        self._build_args = {"BASE_IMAGE": base_image} if base_image else {}
        self._holder = holder
        self._prebuilt: str | None = None
        self._building = threading.RLock()
        self._is_building = False
        self._changing = threading.RLock()

    def install(self) -> None:
        """Bring back the recorded repositories. Raises RuntimeError when moto's ECR was already in use."""
        if len(ecr_backends) or ecr_backends.backend is not ECRBackend:
            raise RuntimeError("moto's ECR is in use already: one process can be one local AWS only")
        replace(ECRResponse, "get_authorization_token", _get_authorization_token)
        replace(Image, "_create_digest", _manifest_digest)
        replace(Image, "get_image_size_in_bytes", _size_of_layers)
        replace(ecr_backends, "backend", _StoredECRBackend)
        for scope, name, (document,) in self._records.load(_REPOSITORY):
            self._restored[(scope, name)] = _restore(scope, name, document)
            self._recorded[(_REPOSITORY, scope, name)] = document

    def resolve(self, image_uri: str) -> str:
        reference = _ImageReference(image_uri)
        repository = reference.repository()
        image = repository and reference.image_in(repository)
        if image:
            return self._held(reference, image)
        if reference.repository_name == _PREBUILT_REPOSITORY:
            return self._prebuilt_for(image_uri)
        if repository is None:
            raise ServiceError("RepositoryNotFoundException", f"{image_uri}: the local ECR has no such repository")
        raise ServiceError("ImageNotFoundException", f"{image_uri}: the repository has no such image")

    def push(self, image_uri: str, image: BuiltImage) -> str:
        """As ``docker push``: the same image under its tag again is fine, another one only where tags are mutable.

        Raises ServiceError RepositoryNotFoundException, ImageTagAlreadyExistsException or InvalidParameterException.
        """
        return self._put(_ImageReference(image_uri), _manifest(image), _MANIFEST_TYPE)

    def record(self, image_uri: str, manifest: bytes) -> str:
        """As ``push``, of an image whose manifest is known, byte for byte: its digest is the registry's."""
        text = manifest.decode()
        return self._put(_ImageReference(image_uri), text, json.loads(text).get("mediaType", _MANIFEST_TYPE))

    def find_digest(self, scope: Scope, repository_name: str, tag: str) -> str | None:
        repository = ecr_backends[scope.account_id][scope.region].repositories.get(repository_name)
        if repository is None:
            raise ServiceError("RepositoryNotFoundException", _no_repository(scope.account_id, repository_name))
        return next((image.get_image_digest() for image in repository.images if tag in image.image_tags), None)

    def _put(self, reference: _ImageReference, manifest: str, media_type: str) -> str:
        digest = _sha256(manifest)
        with self._changing:
            repository = reference.repository()
            if repository is None:
                raise ServiceError(
                    "RepositoryNotFoundException", f"{reference.uri}: the local ECR has no such repository"
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
            backend.put_image(repository.name, manifest, tag, media_type, digest)
        self.flush()
        return digest

    def _held(self, reference: _ImageReference, image: Image) -> str:
        # An index of several manifests has no configuration.
        config_digest: str = json.loads(image.image_manifest).get("config", {}).get("digest", "")
        if self._holder is None:
            return config_digest
        try:
            return self._holder.hold(
                reference.scope, reference.repository_name, image.get_image_digest(), config_digest
            )
        except LookupError as error:
            raise ServiceError("ImageNotFoundException", f"{reference.uri}: {error}") from error

    def build_prebuilt(self, log: Callable[[str], None]) -> str:
        """The ``image_id`` of the prebuilt scikit-learn image, built first and when lost. Raises ImageBuildError."""
        with self._building:
            if self._prebuilt is None or (self._holder is not None and not self._holder.has(self._prebuilt)):
                self._refuse_recursion()
                self._is_building = True
                try:
                    self._prebuilt = self._runtime.build(
                        self._scikit_learn_folder, "Dockerfile", self._build_args, log
                    ).image_id
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
        """Whether the repository came back after a restart; true once, for the stack that takes it."""
        restored = self._restored.pop((f"{account_id}/{region}", repository_name), None)
        return restored is not None and restored is ecr_backends[account_id][region].repositories.get(repository_name)

    def flush(self) -> None:
        """Write what has changed since the last call."""
        with self._changing:
            current = {
                (_REPOSITORY, f"{account_id}/{region}", name): _document(backend, repository)
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


class _StoredECRBackend(ECRBackend):
    def put_image(self, repository_name: str, image_manifest: str, *rest: Any, **options: Any) -> Image:
        """moto fails of itself where there is no repository, and for what is no manifest."""
        if repository_name not in self.repositories:
            raise ApiError("RepositoryNotFoundException", _no_repository(self.account_id, repository_name))
        try:
            json.loads(image_manifest)["config"]["digest"]
        except (ValueError, TypeError, KeyError) as error:
            message = "Invalid parameter at 'imageManifest' failed to satisfy constraint: 'Invalid JSON syntax'"
            raise ApiError("InvalidParameterException", message) from error
        image: Image = super().put_image(repository_name, image_manifest, *rest, **options)
        return image

    def batch_get_image(
        self, repository_name: str, registry_id: str | None = None, image_ids: list[dict[str, Any]] | None = None
    ) -> dict[str, Any]:
        """moto names an image that it does not have by the tag "null" when it was asked for by digest."""
        response: dict[str, Any] = super().batch_get_image(repository_name, registry_id, image_ids)
        missing = [
            image_id
            for image_id in image_ids or []
            if not any(
                image_id.get("imageDigest") == image.get_image_digest() or image_id.get("imageTag") in image.image_tags
                for image in self.repositories[repository_name].images
            )
        ]
        for failure, image_id in zip(response["failures"], missing, strict=True):
            failure["imageId"] = image_id
        return response


def _no_repository(account_id: str, name: str) -> str:
    return f"The repository with name '{name}' does not exist in the registry with id '{account_id}'"


def _sha256(text: str) -> str:
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def _manifest(image: BuiltImage) -> str:
    """An OCI manifest. Its one layer is the runtime's image as a whole: there is no archive of it to name."""
    config = json.dumps(dict(image.config), sort_keys=True)
    labels = image.config.get("Labels") or {}
    manifest = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST_TYPE,
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": image.image_id,
            "size": len(config.encode()),
        },
        "layers": [
            {
                "mediaType": "application/vnd.stepbridge.image.v1",
                "digest": image.image_id,
                "size": image.size_bytes,
            }
        ],
        "annotations": {str(name): str(value) for name, value in labels.items()},
    }
    return json.dumps(manifest, sort_keys=True)


def _manifest_digest(image: Image) -> None:
    """Replaces Image._create_digest, which hashes the layers' digests or a random number, not the manifest."""
    image._image_digest = _sha256(image.image_manifest)


def _size_of_layers(image: Image) -> int:
    """Replaces Image.get_image_size_in_bytes, which returns the size of the configuration or 50 MB."""
    return sum(layer.get("size", 0) for layer in json.loads(image.image_manifest).get("layers", []))


def _document(backend: ECRBackend, repository: Repository) -> Document:
    return {field: getattr(repository, field) for field in _REPOSITORY_FIELDS} | {
        "created_at": repository.created_at.isoformat(),
        "tags": backend.tagger.get_tag_dict_for_resource(repository.arn),
        "images": [
            {
                "manifest": image.image_manifest,
                "media_type": image.image_manifest_media_type,
                "digest": image.get_image_digest(),
                "tags": list(image.image_tags),
                "pushed_at": image.image_pushed_at,
            }
            for image in list(repository.images)
        ],
    }


def _restore(scope: str, name: str, document: Document) -> Repository:
    account_id, _, region = scope.partition("/")
    backend = ecr_backends[account_id][region]
    repository = Repository(account_id, region, name, None, None, "", "")  # type: ignore[abstract]
    for field in _REPOSITORY_FIELDS:
        setattr(repository, field, document[field])
    repository.created_at = datetime.fromisoformat(document["created_at"])
    repository.images = [_restore_image(account_id, name, image) for image in document["images"]]
    backend.repositories[name] = repository
    backend.tagger.tag_resource(repository.arn, [{"Key": key, "Value": tag} for key, tag in document["tags"].items()])
    return repository


def _restore_image(account_id: str, repository: str, document: Document) -> Image:
    tags: list[str] = document["tags"]
    newest: Any = tags[-1] if tags else None
    image = Image(
        account_id,
        newest,
        document["manifest"],
        repository,
        document["media_type"],
        document["digest"],
    )
    image.image_tags = list(tags)
    image.image_pushed_at = document["pushed_at"]
    return image


_moto_get_authorization_token = ECRResponse.get_authorization_token
_TOKEN_LIFETIME = timedelta(hours=12)


def _get_authorization_token(response: ECRResponse) -> ActionResult:
    """Replaces ECRResponse.get_authorization_token, whose tokens have expired in 2015."""
    answer: ActionResult = _moto_get_authorization_token(response)
    result: Any = answer.result
    for token in result["authorizationData"]:
        token["expiresAt"] = datetime.now(UTC) + _TOKEN_LIFETIME
    return answer
