"""What is wrong with a description of faults."""

from __future__ import annotations

from stepbridge.errors import DocumentError

__all__ = ["FaultError"]


class FaultError(DocumentError):
    """Faults cannot be set as they are described."""
