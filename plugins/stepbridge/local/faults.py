"""Why a local AWS cannot start."""

from __future__ import annotations

from stepbridge.errors import ConfigurationFault

__all__ = ["DataFolderInUse", "PortTaken"]


class PortTaken(ConfigurationFault):
    """Something listens on the port already."""


class DataFolderInUse(ConfigurationFault):
    """Another local AWS runs on the data folder."""
