"""Putting our own in the place of what moto has, and noticing when moto no longer has it."""

from __future__ import annotations

from typing import Any

__all__ = ["replace"]


def replace(owner: Any, name: str, new: Any) -> None:
    """Put ``new`` in the place of ``owner.name``. Idempotent.

    Raises AttributeError when ``owner`` has no such name, so that a moto release that renames it fails at the start
    and not in the middle of an execution.
    """
    if not hasattr(owner, name):
        raise AttributeError(f"{owner!r} has no {name!r}: this moto is not the one the seams were written for (5.2.5)")
    setattr(owner, name, new)
