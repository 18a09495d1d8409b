"""Names of images in ECR and on the engine."""

from __future__ import annotations

import pytest

from stepbridge_local.runtimes.docker.ecr_names import (
    ecr_name,
    ecr_references,
    engine_name,
    rewritten_dockerfile,
)
from stepbridge_local.runtimes.docker_commands.base_image import base_arguments

ADDRESS = "127.0.0.1:5001"
HOST = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"


@pytest.mark.parametrize(
    ("ecr", "engine"),
    [
        (f"{HOST}/models:one", f"{ADDRESS}/123456789012/eu-west-1/models:one"),
        (f"{HOST}/team/models@sha256:{'0' * 64}", f"{ADDRESS}/123456789012/eu-west-1/team/models@sha256:{'0' * 64}"),
        ("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/m:1", f"{ADDRESS}/123456789012/cn-north-1/m:1"),
        ("123456789012.dkr.ecr.us-gov-west-1.amazonaws.com/m:1", f"{ADDRESS}/123456789012/us-gov-west-1/m:1"),
    ],
)
def test_names_there_and_back(ecr: str, engine: str) -> None:
    """Account and region are part of the repository's name in the registry."""
    assert engine_name(ecr, ADDRESS) == engine
    assert ecr_name(f"Successfully tagged {engine}", ADDRESS) == f"Successfully tagged {ecr}"


@pytest.mark.parametrize(
    "name", ["python:3.11", "public.ecr.aws/docker/library/python:3.11", "localhost:5000/a/b:c", "."]
)
def test_other_names_stay(name: str) -> None:
    """Only registries of ECR are replaced."""
    assert engine_name(name, ADDRESS) == name
    assert ecr_references(name) == []


def test_a_dockerfile_is_rewritten_where_it_names_images() -> None:
    """FROM, arguments before it and ``--from=``; what is in the image stays."""
    text = (
        f"ARG BASE={HOST}/base:1\nFROM ${{BASE}} AS one\nENV WHERE={HOST}/base:1\nARG LATER={HOST}/x:1\n"
        f"COPY --from={HOST}/tools:2 /a /b\nfrom {HOST}/base:2\n"
    )
    local = f"{ADDRESS}/123456789012/eu-west-1"
    assert rewritten_dockerfile(text, ADDRESS) == (
        f"ARG BASE={local}/base:1\nFROM ${{BASE}} AS one\nENV WHERE={HOST}/base:1\nARG LATER={HOST}/x:1\n"
        f"COPY --from={local}/tools:2 /a /b\nfrom {local}/base:2\n"
    )
    assert base_arguments(text) == {"BASE"}
    assert ecr_references(text) == [f"{HOST}/base:1", f"{HOST}/x:1", f"{HOST}/tools:2", f"{HOST}/base:2"]
