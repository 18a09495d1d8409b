"""``--base-image`` is the BASE_IMAGE of the builds that have such an argument and name none."""

from __future__ import annotations

import pytest

from stepbridge_local.runtimes.docker_commands.base_image import given_base


@pytest.mark.parametrize(
    ("dockerfile", "given"),
    [
        ("ARG BASE_IMAGE=a\nFROM ${BASE_IMAGE}\n", True),
        ("ARG BASE_IMAGE\nfrom --platform=linux/amd64 $BASE_IMAGE AS one\n", True),
        ("ARG BASE_IMAGE=a\nFROM python:3.11\nLABEL base=$BASE_IMAGE\n", False),
        ("FROM python:3.11\n", False),
    ],
)
def test_where_a_from_has_it(dockerfile: str, given: bool) -> None:
    assert given_base(dockerfile, "mine", ["OTHER"]) == ({"BASE_IMAGE": "mine"} if given else {})


def test_what_the_build_says_wins() -> None:
    assert given_base("ARG BASE_IMAGE\nFROM $BASE_IMAGE", "mine", ["BASE_IMAGE"]) == {}
    assert given_base("ARG BASE_IMAGE\nFROM $BASE_IMAGE", None, []) == {}
