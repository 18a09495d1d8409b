"""What can be wrong with a request before any service reads it."""

from __future__ import annotations

__all__ = ["MalformedBodyError"]


class MalformedBodyError(ValueError):
    """A chunked body whose chunks cannot be read, or that ended too early."""
