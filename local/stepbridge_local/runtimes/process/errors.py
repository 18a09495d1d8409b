"""What goes wrong when an image is built or a container started in processes of this machine."""

from __future__ import annotations

from stepbridge_local.errors import ConfigurationError, DocumentError, ImageBuildError

__all__ = ["USE_DOCKER", "DockerfileError", "PythonNotFoundError"]

USE_DOCKER = "run the local AWS with `--runtime docker`, which honours every instruction"


class DockerfileError(ImageBuildError, DocumentError):
    """A Dockerfile, or its context, holds what the process runtime cannot honour; ``problems`` has all of it."""


class PythonNotFoundError(ConfigurationError):
    """No Python of the version that an image asks for is on this machine."""
