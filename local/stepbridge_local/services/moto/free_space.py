"""Refuses calls that store something if the disk is full, before they begin.

Calls that free space, end something or only read still work. AWS has no full disks, so the errors are those for limits.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Final
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from stepbridge_local.http.api_call import ApiCall
from stepbridge_local.persistence.reserve import RESERVED_BYTES, DiskReserve
from stepbridge_local.protocols import ServiceError
from stepbridge_local.services.moto.requests import call_of, send_error

__all__ = ["disk_full", "needs_room", "unrecorded", "with_room"]

# Beginnings of the names of operations. All others store something.
_NEED_NO_ROOM: Final = (
    *("Abort", "AssumeRole", "BatchDelete", "BatchGet", "Change", "Delete", "Describe", "Detach", "Disable", "Enable"),
    *("Filter", "Get", "Head", "List", "Purge", "Receive", "Remove", "SendTask", "Simulate", "Stop", "Test"),
    *("Unsubscribe", "Untag", "Validate"),
)
_LIMITS: Final = {
    "sagemaker": ("ResourceLimitExceeded", 400),
    "states": ("ExecutionLimitExceeded", 400),
    "codebuild": ("AccountLimitExceededException", 400),
    "ecr": ("LimitExceededException", 400),
    "logs": ("LimitExceededException", 400),
    "events": ("LimitExceededException", 400),
    "cloudformation": ("LimitExceededException", 400),
    "iam": ("LimitExceeded", 409),
}


def needs_room(call: ApiCall) -> bool:
    """Whether the call stores something. A call whose operation cannot be told is refused elsewhere."""
    return bool(call.operation) and not call.operation.startswith(_NEED_NO_ROOM)


def disk_full(service: str) -> ServiceError:
    """The error of ``service``, as IAM names it."""
    code, status = _LIMITS.get(service, ("ServiceUnavailable", 503))
    message = (
        "No space is left on the disk of the local AWS's data folder. What is stored is sound; nothing of this call "
        "was kept. Free some space, or delete objects that are not needed, and call again."
    )
    return ServiceError(code, message, status)


def unrecorded(service: str) -> ServiceError:
    """The error for a change that was made, but could not be written; ``service`` as IAM names it."""
    code, status = _LIMITS.get(service, ("ServiceUnavailable", 503))
    message = (
        "No space is left on the disk of the local AWS's data folder. The change was made, but will be lost if the "
        "local AWS ends before there is space. Free some space, and call again."
    )
    return ServiceError(code, message, status)


def with_room(application: WSGIApplication, folder: Path, reserve: DiskReserve) -> WSGIApplication:
    """``application``, but calls that store something are refused if there is no space."""

    def guarded(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        length = environ.get("CONTENT_LENGTH") or "0"
        wanted = RESERVED_BYTES + (int(length) if length.isdecimal() else 0)
        if shutil.disk_usage(folder).free < wanted:
            call, _ = call_of(environ)
            if needs_room(call):
                return send_error(call, disk_full(call.service), environ, start_response)
        else:
            reserve.hold()
        return application(environ, start_response)

    return guarded
