"""ListProcessingJobs: a request as a selection of records, and the selected jobs as a page. Pure.

A page begins after the last job of the previous page, by the order's key and the name, and not after a number of jobs.
So jobs that are created meanwhile do not hide others or show them twice.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from stepbridge_local.services.sagemaker.description import summarize
from stepbridge_local.services.sagemaker.errors import validation_error
from stepbridge_local.services.sagemaker.job import ProcessingJob

__all__ = ["Selection", "page", "selection"]

_DEFAULT_MAX_RESULTS = 10
_FILTERS = (
    "CreationTimeAfter",
    "CreationTimeBefore",
    "LastModifiedTimeAfter",
    "LastModifiedTimeBefore",
    "NameContains",
    "StatusEquals",
    "SortBy",
    "SortOrder",
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_CONDITIONS: Mapping[str, str] = {  # of each filter, on the columns of the store; bounds are exclusive
    "CreationTimeAfter": "creation_time > ?",
    "CreationTimeBefore": "creation_time < ?",
    "LastModifiedTimeAfter": "last_modified_time > ?",
    "LastModifiedTimeBefore": "last_modified_time < ?",
    "NameContains": "instr(name, ?) > 0",
    "StatusEquals": "status = ?",
}

# Column and value of each order. The name comes second: it is unique, so the order is total.
_ORDERS: Mapping[str, tuple[str, Callable[[ProcessingJob], str | int]]] = {
    "Name": ("name", lambda job: job.name),
    "CreationTime": ("creation_time", lambda job: _microseconds(job.creation_time)),
    "Status": ("status", lambda job: str(job.status)),
}


@dataclass(frozen=True)
class Selection:
    """The SQL of a page: ``condition`` with its ``parameters``, ``order``, and one job more than the page has."""

    condition: str
    parameters: tuple[str | int, ...]
    order: str
    limit: int


def selection(request: Mapping[str, Any]) -> Selection:
    """The selection of a valid ListProcessingJobs request. Raises ValidationException for an unknown NextToken."""
    conditions, parameters = ["1"], []
    for name, condition in _CONDITIONS.items():
        if name in request:
            value = request[name]
            conditions.append(condition)
            parameters.append(_microseconds(value) if isinstance(value, datetime) else value)
    column, _ = _order(request)
    direction = "DESC" if _descending(request) else "ASC"
    if "NextToken" in request:
        conditions.append(f"({column}, name) {'<' if _descending(request) else '>'} (?, ?)")
        parameters.extend(_position(request))
    return Selection(
        " AND ".join(conditions),
        tuple(parameters),
        f"{column} {direction}, name {direction}",
        request.get("MaxResults", _DEFAULT_MAX_RESULTS) + 1,
    )


def page(request: Mapping[str, Any], found: Sequence[ProcessingJob]) -> dict[str, Any]:
    """The response for the jobs that ``selection(request)`` has found."""
    shown = found[: request.get("MaxResults", _DEFAULT_MAX_RESULTS)]
    response: dict[str, Any] = {"ProcessingJobSummaries": [summarize(job) for job in shown]}
    if len(found) > len(shown):
        _, value = _order(request)
        response["NextToken"] = _token(request, (value(shown[-1]), shown[-1].name))
    return response


def _order(request: Mapping[str, Any]) -> tuple[str, Callable[[ProcessingJob], str | int]]:
    return _ORDERS[request.get("SortBy", "CreationTime")]


def _descending(request: Mapping[str, Any]) -> bool:
    return bool(request.get("SortOrder", "Ascending") == "Descending")


def _microseconds(time: datetime) -> int:
    return (time - _EPOCH) // timedelta(microseconds=1)


def _token(request: Mapping[str, Any], last: tuple[str | int, str]) -> str:
    """The start of the next page, with its filters, because a token is valid only for the same filters."""
    position = {"after": last, "of": _question(request)}
    return base64.urlsafe_b64encode(json.dumps(position).encode()).decode()


def _position(request: Mapping[str, Any]) -> tuple[str | int, str]:
    try:
        position = json.loads(base64.b64decode(request["NextToken"].encode(), altchars=b"-_", validate=True))
        (value, name), question = position["after"], position["of"]
        well_formed = isinstance(value, str | int) and isinstance(name, str) and isinstance(question, dict)
    except (binascii.Error, ValueError, KeyError, TypeError, RecursionError):
        well_formed = False
    if not well_formed:
        raise validation_error("NextToken is not one that ListProcessingJobs gave.")
    if question != _question(request):
        raise validation_error("NextToken belongs to a ListProcessingJobs request with other filters or order.")
    return value, name


def _question(request: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(request[name]) for name in _FILTERS if name in request}
