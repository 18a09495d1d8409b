"""The errors of the process runtime."""

from __future__ import annotations

from stepbridge_local.errors import ConfigurationError, DocumentError, ImageBuildError

__all__ = ["USE_DOCKER", "DockerfileError", "PythonNotFoundError"]

USE_DOCKER = "run the local AWS with `--runtime docker`, which honours every instruction"


class DockerfileError(ImageBuildError, DocumentError):
    """A Dockerfile or its context needs what the process runtime does not support; ``problems`` has it all."""


class PythonNotFoundError(ConfigurationError):
    """This machine has no Python of the version that an image needs."""
