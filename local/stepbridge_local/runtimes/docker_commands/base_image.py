"""``--base-image``: what Dockerfiles with a BASE_IMAGE argument start from."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

__all__ = ["NAME", "base_arguments", "given_base"]

NAME: Final = "BASE_IMAGE"
_FROM: Final = re.compile(r"\s*FROM\s", re.IGNORECASE)
_VARIABLE: Final = re.compile(r"\$\{?(?P<name>[A-Za-z_][A-Za-z0-9_]*)")


def base_arguments(dockerfile: str) -> Collection[str]:
    """The build arguments that stand in FROM lines: their values are names of images."""
    lines = filter(_FROM.match, dockerfile.splitlines())
    return {match["name"] for line in lines for match in _VARIABLE.finditer(line)}


def given_base(dockerfile: str, base_image: str | None, build_arguments: Collection[str]) -> dict[str, str]:
    """The build argument that ``base_image`` adds: none where no FROM has it, or where the build names its own."""
    if base_image is None or NAME in build_arguments or NAME not in base_arguments(dockerfile):
        return {}
    return {NAME: base_image}
