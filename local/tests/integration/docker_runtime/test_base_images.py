"""What the engine cannot have is known before a build asks for it."""

from __future__ import annotations

from pathlib import Path

import docker
import pytest

from stepbridge_local.runtimes.docker.base_images import missing_base_images

from .conftest import BASE_IMAGE

pytestmark = pytest.mark.long


def test_an_image_that_is_nowhere_is_named_with_its_dockerfiles(engine: docker.DockerClient, tmp_path: Path) -> None:
    """Once, however many models start from it; what the engine has, and images in ECR, are not named."""
    _ = engine
    nowhere = "127.0.0.1:9/no/such/base:1"
    contents = {
        "one": f"FROM {nowhere}\n",
        "two": f"FROM {BASE_IMAGE}\nFROM {nowhere}\n",
        "three": "ARG BASE_IMAGE=x\nFROM ${BASE_IMAGE} AS base\nFROM base\n",
        "four": "FROM 123456789012.dkr.ecr.us-east-1.amazonaws.com/base:1\n",
    }
    files = [tmp_path / name for name in contents]
    for file in files:
        file.write_text(contents[file.name])
    [line] = missing_base_images(files, BASE_IMAGE)
    assert line.startswith(f"{files[0]}, {files[1]}: the Docker engine has no image {nowhere} and cannot pull it (")
    assert "--base-image" in line


def test_without_an_engine_there_is_nothing_to_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    file = tmp_path / "Dockerfile"
    file.write_text("FROM nowhere\n")
    assert missing_base_images([file]) == []
