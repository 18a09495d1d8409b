"""How an operator's work can end badly."""

from __future__ import annotations

from stepbridge.errors import StepbridgeError

__all__ = ["StartKilled"]


class StartKilled(StepbridgeError):
    """The task was killed while it started an execution; none of its making runs on."""
