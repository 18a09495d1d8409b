"""A Docker engine and a base image, both real; where there is no engine the reason is printed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from stepbridge_local.runtimes.docker import DockerRuntime, find_engine

BASE_IMAGE = "stepbridge-test-base"


@pytest.fixture(scope="session")
def engine() -> docker.DockerClient:
    client = find_engine()
    if client is None:
        pytest.skip("no Docker engine answers (DOCKER_HOST or the default socket); .ci/run starts one")
    if not client.images.list(name=BASE_IMAGE):
        pytest.skip(f"the engine holds no image {BASE_IMAGE}; .ci/run makes it with debootstrap")
    return client


@pytest.fixture
def runtime(engine: docker.DockerClient, tmp_path: Path) -> Iterator[DockerRuntime]:
    runtime = DockerRuntime(engine, tmp_path / "owner")
    yield runtime
    runtime.close()
