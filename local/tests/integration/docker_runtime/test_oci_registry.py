"""A real push into the registry that stands behind the local ECR."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import docker
import pytest

from stepbridge_local.runtimes.docker.oci_registry import OciRegistry

BASE_IMAGE = "stepbridge-test-base"


def test_a_pushed_image_is_there_by_tag_and_digest_after_a_restart(engine: docker.DockerClient, tmp_path: Path) -> None:
    registry = OciRegistry(tmp_path)
    registry.start()
    name = f"{registry.address}/models"
    engine.images.get(BASE_IMAGE).tag(name, "one")
    try:
        pushed = [json.loads(line) for line in engine.images.push(name, "one").splitlines()]
        digest = next(event["aux"]["Digest"] for event in pushed if "aux" in event)
        manifest = registry.manifest("models", "one")
        assert "sha256:" + hashlib.sha256(manifest).hexdigest() == digest
        assert json.loads(manifest)["config"]["digest"] == engine.images.get(BASE_IMAGE).id
    finally:
        engine.images.remove(f"{name}:one")
        registry.stop()

    again = OciRegistry(tmp_path)
    again.start()
    try:
        assert again.manifest("models", digest) == manifest
        with pytest.raises(KeyError):
            again.manifest("models", "two")
    finally:
        again.stop()
