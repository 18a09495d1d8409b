"""The images that Dockerfiles start from, read before anything is built."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from stepbridge_local.runtimes.docker_commands.base_image import given_base

_REFERENCE: Final = re.compile(r"\$(?:\{(?P<braced>\w+)(?::-(?P<default>[^}]*))?\}|(?P<plain>\w+))")


def images_in_from(dockerfile: str, base_image: str | None = None) -> list[str]:
    """The images that its FROM lines name, with the defaults of its arguments, and ``base_image`` for BASE_IMAGE.

    Without ``scratch``, its own stages, and names whose argument has no value.
    """
    values: dict[str, str] = {}
    stages, images = {"scratch"}, list[str]()
    arguments_end = False
    for line in dockerfile.splitlines():
        instruction, *words = line.split() or [""]
        if instruction.upper() == "ARG" and not arguments_end:
            pairs = (word.partition("=") for word in words)
            values |= {name: value.strip("\"'") for name, equals, value in pairs if equals}
        if instruction.upper() == "FROM":
            if not arguments_end:
                values |= given_base(dockerfile, base_image, ())
            arguments_end = True
            image, *alias = [word for word in words if not word.startswith("--")] or [""]
            image = _substituted(image, values)
            if image and "$" not in image and image.lower() not in stages:
                images.append(image)
            stages |= {word.lower() for word in alias[1:]}
    return list(dict.fromkeys(images))


def _substituted(text: str, values: Mapping[str, str]) -> str:
    """The text with its arguments' values; an argument without one stays as it is."""
    return _REFERENCE.sub(
        lambda match: values.get(match["braced"] or match["plain"]) or match["default"] or match[0], text
    )
