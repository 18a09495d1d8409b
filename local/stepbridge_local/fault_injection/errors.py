"""The error of fault injection."""

from __future__ import annotations

from stepbridge_local.errors import DocumentError

__all__ = ["FaultSettingsError"]


class FaultSettingsError(DocumentError):
    """The description of a fault is invalid."""
