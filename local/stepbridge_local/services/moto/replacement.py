"""Replaces parts of moto with our own, and notices if moto no longer has them."""

from __future__ import annotations

import types
from typing import Any, TypeVar

__all__ = ["replace", "with_collaborators"]

_Class = TypeVar("_Class", bound=type)


def replace(owner: Any, name: str, new: Any) -> None:
    """Replace ``owner.name`` by ``new``. Idempotent.

    Raises AttributeError if ``owner`` has no such name. So a moto release that renames it fails at the start and not
    during an execution.
    """
    if not hasattr(owner, name):
        raise AttributeError(
            f"{owner!r} has no {name!r}: this is not the moto release (5.2.5) that the local AWS is written for"
        )
    setattr(owner, name, new)


def with_collaborators(base: _Class, **collaborators: Any) -> _Class:
    """A subclass of ``base`` with the collaborators as attributes, for a class whose instances moto creates."""
    attributes = {**collaborators, "__module__": base.__module__, "__doc__": base.__doc__}
    found: Any = types.new_class(base.__name__, (base,), exec_body=lambda namespace: namespace.update(attributes))
    subclass: _Class = found
    return subclass
