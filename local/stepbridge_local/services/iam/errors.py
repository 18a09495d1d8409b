"""The error of policies."""

from __future__ import annotations

from stepbridge_local.errors import ConfigurationError

__all__ = ["PolicyError"]


class PolicyError(ConfigurationError):
    """A policy document cannot be read."""
