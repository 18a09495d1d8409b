"""Pages of answers: their size, and tokens that only this local AWS's answers contain."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from typing import Any, Final, TypeVar

from moto.stepfunctions.responses import StepFunctionResponse

from stepbridge_local.services.moto.api_errors import ApiError

__all__ = ["page_of", "page_size", "page_token", "read_token"]

MAXIMUM_PAGE: Final = 1_000
DEFAULT_PAGE: Final = 100
_Item = TypeVar("_Item")


def page_size(response: StepFunctionResponse) -> int:
    size = response._get_param("maxResults")
    if size is not None and not 0 <= int(size) <= MAXIMUM_PAGE:
        raise ApiError(
            "ValidationException",
            f"1 validation error detected: Value '{size}' at 'maxResults' failed to satisfy constraint: "
            f"Member must have value less than or equal to {MAXIMUM_PAGE}",
        )
    return int(size) if size else DEFAULT_PAGE


def page_token(position: list[Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(position).encode()).decode()


def read_token(token: str | None, *types: type) -> list[Any] | None:
    """The position in a token, whose parts have these ``types``. Raises InvalidToken for all other texts."""
    if token is None:
        return None
    try:
        found: Any = json.loads(base64.urlsafe_b64decode(token))
    except (ValueError, binascii.Error):
        found = None
    position: list[Any] = found if isinstance(found, list) else []
    if [type(part) for part in position] != list(types) or any(isinstance(part, int) and part < 1 for part in position):
        raise ApiError("InvalidToken", "Invalid Token: 'Invalid token'")
    return position


def page_of(response: StepFunctionResponse, items: Sequence[_Item]) -> tuple[Sequence[_Item], dict[str, str]]:
    """The items of the page that the request asks for, and a nextToken if there are more."""
    (offset,) = read_token(response._get_param("nextToken"), int) or [0]
    end = offset + page_size(response)
    return items[offset:end], {"nextToken": page_token([end])} if len(items) > end else {}
