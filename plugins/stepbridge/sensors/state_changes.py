"""The state changes that a waiting worker logs: those of ``triggers.state_changes``."""

from __future__ import annotations

from stepbridge.triggers.state_changes import StateChanges, line_of

__all__ = ["StateChanges", "line_of"]
