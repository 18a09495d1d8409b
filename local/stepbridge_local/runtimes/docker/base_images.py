"""Which base images a Docker engine cannot have, asked before a build needs them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from docker.errors import DockerException, ImageNotFound

from stepbridge_local.runtimes.docker.ecr_names import ecr_references
from stepbridge_local.runtimes.docker.runtime import find_engine
from stepbridge_local.runtimes.docker_commands.from_lines import images_in_from

if TYPE_CHECKING:
    import docker


def missing_base_images(dockerfiles: Iterable[Path], base_image: str | None = None) -> list[str]:
    """A line for each base image that the engine neither has nor finds in a registry; none where no engine answers.

    ``base_image`` is the BASE_IMAGE of the Dockerfiles that have this argument. Images in ECR are not looked for, and
    nothing is pulled.
    """
    client = find_engine()
    if client is None:
        return []
    users: dict[str, list[Path]] = {}
    for file in dockerfiles:
        for image in images_in_from(file.read_text(errors="replace"), base_image):
            users.setdefault(image, []).append(file)
    lines = []
    for image, files in users.items():
        if not ecr_references(image) and (problem := _problem(client, image)):
            named = ", ".join(map(str, files))
            lines.append(
                f"{named}: the Docker engine has no image {image} and cannot pull it ({problem}): builds will fail. "
                "Name an image that the engine has, in FROM, or with ARG BASE_IMAGE and --base-image"
            )
    return lines


def _problem(client: docker.DockerClient, image: str) -> str:
    """Why the image is not to be had; empty if it is."""
    try:
        client.images.get(image)
    except ImageNotFound:
        try:
            client.images.get_registry_data(image)
        except DockerException as error:
            return str(getattr(error, "explanation", None) or error).strip()
    return ""
