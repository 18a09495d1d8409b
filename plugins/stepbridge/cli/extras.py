"""The part of stepbridge that only the extra ``local`` installs: the local AWS."""

from __future__ import annotations

import importlib.util

from stepbridge.cli.exit_codes import MissingExtraError

__all__ = ["require_local"]


def require_local(command: str) -> None:
    """Return if the local AWS is installed. Raises MissingExtraError, which names ``command``, if it is not."""
    if importlib.util.find_spec("stepbridge_local") is None:
        raise MissingExtraError(
            f"stepbridge {command}", "the local AWS is not installed", remedy="pip install 'stepbridge[local]'"
        )
