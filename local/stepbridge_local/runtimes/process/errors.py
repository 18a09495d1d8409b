"""The errors of the process runtime."""

from __future__ import annotations

from stepbridge_local.errors import ConfigurationError, DocumentError, ImageBuildError

__all__ = ["USE_DOCKER", "DockerfileError", "PythonNotFoundError"]

USE_DOCKER = "run the local AWS with `--runtime docker`, which honours every instruction"


class DockerfileError(ImageBuildError, DocumentError):
    """A Dockerfile or its context has what the process runtime cannot honour; ``problems`` has all of it."""


class PythonNotFoundError(ConfigurationError):
    """This machine has no Python of the version that an image needs."""
