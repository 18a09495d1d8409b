"""Manifests of images that a runtime built, as OCI describes them: https://github.com/opencontainers/image-spec"""

from __future__ import annotations

import hashlib
import json
from typing import Final

from stepbridge_local.protocols import BuiltImage

__all__ = ["MANIFEST_TYPE", "manifest_digest", "manifest_of"]

MANIFEST_TYPE: Final = "application/vnd.oci.image.manifest.v1+json"


def manifest_digest(manifest: str) -> str:
    """The image digest of a manifest: the digest of its bytes."""
    return "sha256:" + hashlib.sha256(manifest.encode()).hexdigest()


def manifest_of(image: BuiltImage) -> str:
    """An OCI manifest. Its only layer stands for the runtime's whole image, which has no archive."""
    config = json.dumps(dict(image.config), sort_keys=True)
    labels = image.config.get("Labels") or {}
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
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
