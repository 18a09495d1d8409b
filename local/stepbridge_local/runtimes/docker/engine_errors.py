"""What a call of the engine may raise, as long as somebody else may remove a container, or the engine may end."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

import urllib3
from docker.errors import APIError, DockerException
from docker.utils.socket import SocketError

__all__ = ["ENGINE_ERRORS", "explain", "tried", "unless_gone"]

_log = logging.getLogger(__name__)
# The errors of requests are OSErrors.
ENGINE_ERRORS: Final = (DockerException, OSError, SocketError, urllib3.exceptions.HTTPError)
_GONE_STATUS_CODES: Final = (
    404,
    409,
)  # removed, being removed, or not running any more: https://docs.docker.com/reference/api/engine/


def explain(error: BaseException) -> str:
    """The engine's own words where it has some."""
    return str(getattr(error, "explanation", None) or error)


def unless_gone(call: Callable[[], None]) -> None:
    """Call it; a container that is gone already is as good as done. Raises one of ENGINE_ERRORS."""
    try:
        call()
    except APIError as error:
        if error.status_code not in _GONE_STATUS_CODES:
            raise


def tried(what: str, call: Callable[[], None]) -> bool:
    """Whether the call succeeded, or its container is gone already; else what the engine said is logged."""
    try:
        unless_gone(call)
    except ENGINE_ERRORS as error:
        _log.warning("%s: the Docker engine answered: %s", what, explain(error))
        return False
    return True
