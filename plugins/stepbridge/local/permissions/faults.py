"""What goes wrong with policies."""

from __future__ import annotations

from stepbridge.errors import ConfigurationFault

__all__ = ["PolicyFault"]


class PolicyFault(ConfigurationFault):
    """A policy document cannot be read."""
