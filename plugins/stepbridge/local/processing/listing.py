"""ListProcessingJobs over the jobs of one account and region: filter, order, pages. Pure."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from stepbridge.local.processing.description import summarize
from stepbridge.local.processing.faults import validation_fault
from stepbridge.local.processing.job import ProcessingJob

__all__ = ["list_jobs"]

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

# The name comes last in each: it is unique, so the order is total and a page begins where the last one ended.
_SORT_KEYS: Mapping[str, Callable[[ProcessingJob], tuple[str, ...]]] = {
    "Name": lambda job: (job.name,),
    "CreationTime": lambda job: (job.creation_time.isoformat(timespec="milliseconds"), job.name),
    "Status": lambda job: (str(job.status), job.name),
}


def list_jobs(jobs: Iterable[ProcessingJob], request: Mapping[str, Any]) -> dict[str, Any]:
    """The response to an accepted ListProcessingJobs request. Raises ValidationException for a strange NextToken."""
    key = _SORT_KEYS[request.get("SortBy", "CreationTime")]
    descending = request.get("SortOrder", "Ascending") == "Descending"
    found = sorted((job for job in jobs if _matches(job, request)), key=key, reverse=descending)
    if "NextToken" in request:
        last = _position(request)
        found = [job for job in found if (key(job) < last if descending else key(job) > last)]
    page = found[: request.get("MaxResults", _DEFAULT_MAX_RESULTS)]
    response: dict[str, Any] = {"ProcessingJobSummaries": [summarize(job) for job in page]}
    if len(found) > len(page):
        response["NextToken"] = _token(request, key(page[-1]))
    return response


def _matches(job: ProcessingJob, request: Mapping[str, Any]) -> bool:
    return (
        _within(job.creation_time, request.get("CreationTimeAfter"), request.get("CreationTimeBefore"))
        and _within(job.last_modified_time, request.get("LastModifiedTimeAfter"), request.get("LastModifiedTimeBefore"))
        and request.get("NameContains", "") in job.name
        and request.get("StatusEquals", job.status) == job.status
    )


def _within(time: datetime, after: datetime | None, before: datetime | None) -> bool:
    return (after is None or time > after) and (before is None or time < before)


def _token(request: Mapping[str, Any], last: Sequence[str]) -> str:
    """Where the next page begins, with the filters it belongs to: a token is good for the same question only."""
    position = {"after": list(last), "of": _question(request)}
    return base64.urlsafe_b64encode(json.dumps(position).encode()).decode()


def _position(request: Mapping[str, Any]) -> tuple[str, ...]:
    try:
        position = json.loads(base64.urlsafe_b64decode(request["NextToken"].encode()))
        after, question = position["after"], position["of"]
    except (binascii.Error, ValueError, KeyError, TypeError) as error:
        raise validation_fault("NextToken is not one that ListProcessingJobs gave.") from error
    if question != _question(request) or not isinstance(after, list):
        raise validation_fault("NextToken belongs to a ListProcessingJobs request with other filters or order.")
    return tuple(str(part) for part in after)


def _question(request: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(request[name]) for name in _FILTERS if name in request}
