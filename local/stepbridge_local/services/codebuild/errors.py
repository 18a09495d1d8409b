"""The errors of a build, each with the status code that its phase gets."""

from __future__ import annotations

from typing import ClassVar

from stepbridge_local.errors import LocalAwsError

__all__ = ["BuildError", "BuildspecError", "SourceError"]


class BuildError(LocalAwsError):
    """A build cannot go on. ``status_code`` is that of the phase's context."""

    status_code: ClassVar[str] = "CLIENT_ERROR"


class BuildspecError(BuildError):
    """The buildspec is invalid, or needs something that the local AWS does not support."""

    status_code = "YAML_FILE_ERROR"


class SourceError(BuildError):
    """The source cannot be fetched or unpacked."""
