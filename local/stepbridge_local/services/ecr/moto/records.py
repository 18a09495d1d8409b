"""Repositories and images of moto's ECR to records and back."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from moto.ecr.models import ECRBackend, Image, Repository, ecr_backends

from stepbridge_local.persistence.records import Document

__all__ = ["document_of", "restore"]

_REPOSITORY_FIELDS: Final = (
    "image_tag_mutability",
    "image_tag_mutability_exclusion_filters",
    "image_scanning_configuration",
    "encryption_configuration",
    "policy",
    "lifecycle_policy",
    "scanning_config",
)


def document_of(backend: ECRBackend, repository: Repository) -> Document:
    """The repository with its images, as a JSON document."""
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


def restore(scope: str, name: str, document: Document) -> Repository:
    """The repository that ``document_of`` described, in moto again. ``scope`` is ``account/region``."""
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
