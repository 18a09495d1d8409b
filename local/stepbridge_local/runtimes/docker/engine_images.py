"""The images of the local ECR in the engine. If the engine loses one, it is pulled from the registry again."""

from __future__ import annotations

import docker
from docker.errors import ImageNotFound

from stepbridge_local.protocols import Scope
from stepbridge_local.runtimes.docker.engine_errors import ENGINE_ERRORS, explain
from stepbridge_local.runtimes.docker.oci_registry import OciRegistry

__all__ = ["EngineImages"]


class EngineImages:
    """Implements ``ImageHolder`` on a Docker engine and the registry that images were pushed to."""

    def __init__(self, client: docker.DockerClient, registry: OciRegistry) -> None:
        self._client = client
        self._registry = registry

    def hold(self, scope: Scope, repository: str, digest: str, config_digest: str) -> str:
        """The engine's id of the image, pulled if the engine has lost it. Raises LookupError if it is nowhere."""
        by_digest = f"{self._registry.address}/{scope.account_id}/{scope.region}/{repository}@{digest}"
        # An engine names images by their configuration, or with containerd's image store by their manifest.
        for name in filter(None, (config_digest, by_digest)):
            if found := self._find(name):
                return found
        try:
            return str(self._client.images.pull(by_digest).id)
        except ENGINE_ERRORS as error:
            raise LookupError(f"neither the engine nor its registry has it: {explain(error)}") from error

    def has(self, image_id: str) -> bool:
        """Whether the engine holds the image."""
        return self._find(image_id) is not None

    def _find(self, name: str) -> str | None:
        try:
            return str(self._client.images.get(name).id)
        except ImageNotFound:
            return None

    def tag(self, image_id: str, name: str) -> None:
        """Tag an image in the engine as ``<repository>:<tag>``."""
        repository, _, tag = name.rpartition(":")
        self._client.images.get(image_id).tag(repository, tag)
