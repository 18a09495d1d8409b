"""The error of fault injection."""

from __future__ import annotations

from stepbridge_local.errors import DocumentError

__all__ = ["FaultSettingsError"]


class FaultSettingsError(DocumentError):
    """Faults cannot be set as they are described."""
