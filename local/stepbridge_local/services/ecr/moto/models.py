"""Replaces parts of moto's ECR: digests and sizes of images, errors, expired tokens, and addresses of registries."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import moto.ecr.models
from moto.core.responses import ActionResult
from moto.ecr.models import ECRBackend, Image, Repository, ecr_backends
from moto.ecr.responses import ECRResponse

from stepbridge_local.partitions import dns_suffix
from stepbridge_local.services.ecr.manifest import manifest_digest
from stepbridge_local.services.moto.api_errors import ApiError
from stepbridge_local.services.moto.replacement import replace

__all__ = ["install", "no_repository"]

_NAME_PART: Final = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*"  # moto has an older pattern, without a__b and a--b
_TOKEN_LIFETIME: Final = timedelta(hours=12)
_moto_new_repository: Final = Repository.__init__
_moto_get_authorization_token: Final = ECRResponse.get_authorization_token


def no_repository(account_id: str, name: str) -> str:
    """AWS's message for a repository that does not exist."""
    return f"The repository with name '{name}' does not exist in the registry with id '{account_id}'"


class _StoredECRBackend(ECRBackend):
    def put_image(self, repository_name: str, image_manifest: str, *rest: Any, **options: Any) -> Image:
        """moto crashes if there is no repository, or if the manifest is invalid."""
        if repository_name not in self.repositories:
            raise ApiError("RepositoryNotFoundException", no_repository(self.account_id, repository_name))
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
        """If asked by digest for a missing image, moto reports the tag "null"."""
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


def _registry(account_id: str, region: str) -> str:
    """The registry's host name; moto's is the same in all partitions."""
    return f"{account_id}.dkr.ecr.{region}.{dns_suffix(region)}"


def _new_repository(self: Repository, *arguments: Any, **options: Any) -> None:
    """Replaces Repository.__init__, whose URI is that of one partition."""
    _moto_new_repository(self, *arguments, **options)
    self.uri = f"{_registry(self.registry_id, self.region_name)}/{self.name}"


def _set_digest(image: Image) -> None:
    """Replaces Image._create_digest, which hashes the layers' digests or a random number, not the manifest."""
    image._image_digest = manifest_digest(image.image_manifest)


def _size_of_layers(image: Image) -> int:
    """Replaces Image.get_image_size_in_bytes, which returns the size of the configuration or 50 MB."""
    return sum(layer.get("size", 0) for layer in json.loads(image.image_manifest).get("layers", []))


def _get_authorization_token(response: ECRResponse) -> ActionResult:
    """Replaces ECRResponse.get_authorization_token, whose tokens have expired in 2015, for one partition."""
    answer: ActionResult = _moto_get_authorization_token(response)
    result: Any = answer.result
    for token in result["authorizationData"]:
        account_id = token["proxyEndpoint"].removeprefix("https://").partition(".")[0]
        token["proxyEndpoint"] = f"https://{_registry(account_id, response.region)}"
        token["expiresAt"] = datetime.now(UTC) + _TOKEN_LIFETIME
    return answer


def install() -> None:
    """Replace these parts of moto's ECR."""
    replace(moto.ecr.models, "ECR_REPOSITORY_NAME_PATTERN", f"{_NAME_PART}(/{_NAME_PART})*")
    replace(ECRResponse, "get_authorization_token", _get_authorization_token)
    replace(Repository, "__init__", _new_repository)
    replace(Image, "_create_digest", _set_digest)
    replace(Image, "get_image_size_in_bytes", _size_of_layers)
    replace(ecr_backends, "backend", _StoredECRBackend)
