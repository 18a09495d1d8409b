"""What can be wrong with a build, each with the status code that its phase then has."""

from __future__ import annotations

from typing import ClassVar

from stepbridge.errors import StepbridgeError

__all__ = ["BuildFault", "BuildspecFault", "SourceFault", "UnsupportedCommand"]


class BuildFault(StepbridgeError):
    """A build cannot go on. ``status_code`` is that of the phase's context."""

    status_code: ClassVar[str] = "CLIENT_ERROR"


class BuildspecFault(BuildFault):
    """The buildspec is no buildspec, or asks for what the local AWS does not have."""

    status_code = "YAML_FILE_ERROR"


class SourceFault(BuildFault):
    """The source cannot be fetched or unpacked."""


class UnsupportedCommand(StepbridgeError):
    """A ``docker`` or ``aws`` command that the local AWS does not have. The build sees exit code 125."""
