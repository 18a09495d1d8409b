"""The images that a Dockerfile starts from."""

from __future__ import annotations

import pytest

from stepbridge_local.runtimes.docker_commands.from_lines import images_in_from


@pytest.mark.parametrize(
    ("dockerfile", "images"),
    [
        ("FROM python:3.11\n", ["python:3.11"]),
        ("from --platform=linux/amd64 python:3.11 as one\nFROM One\nFROM scratch\n", ["python:3.11"]),
        ("ARG BASE_IMAGE=a\nFROM ${BASE_IMAGE}\n", ["mine"]),
        ("ARG BASE_IMAGE\nFROM $BASE_IMAGE AS b\nFROM $BASE_IMAGE\n", ["mine"]),
        ('ARG V="3.11" W=slim\nFROM python:${V}-$W\n', ["python:3.11-slim"]),
        ("FROM python:${V:-3.12}\n", ["python:3.12"]),
        ("ARG V\nFROM python:$V\n", []),  # the build says which
        ("FROM a\nARG V=1\nFROM b:$V\n", ["a"]),  # only arguments before the first FROM count
        ("# FROM x\nRUN echo FROM y\n", []),
        ("FROM\n", []),
    ],
)
def test_which_images(dockerfile: str, images: list[str]) -> None:
    assert images_in_from(dockerfile, "mine") == images


def test_without_a_base_image_the_default_counts() -> None:
    assert images_in_from("ARG BASE_IMAGE=python:3.11\nFROM ${BASE_IMAGE}\n") == ["python:3.11"]
