"""Refuses calls that store something if the disk is full, before they begin.

Calls that free space, end something or only read still work. AWS has no full disks, so the errors are those for limits.
"""

from __future__ import annotations

import errno
import shutil
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Final
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from stepbridge_local.protocols import ServiceError
from stepbridge_local.services.moto.requests import call_of, send_error

__all__ = ["disk_full", "is_disk_full", "with_room"]

RESERVED_BYTES: Final = 8 * 1024 * 1024  # for the records of running work and of deletions
_STORING: Final = (
    *("Complete", "Copy", "Create", "Execute", "Import", "Initiate", "Post", "Publish", "Put", "Redrive", "Register"),
    *("Run", "Send", "Start", "Update", "Upload"),
)
_LIMITS: Final = {
    "sagemaker": ("ResourceLimitExceeded", 400),
    "states": ("ExecutionLimitExceeded", 400),
    "codebuild": ("AccountLimitExceededException", 400),
    "ecr": ("LimitExceededException", 400),
    "logs": ("LimitExceededException", 400),
    "cloudformation": ("LimitExceededException", 400),
    "iam": ("LimitExceeded", 409),
}


def is_disk_full(error: BaseException) -> bool:
    """Whether the error means that a disk or a quota is full."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return isinstance(error, sqlite3.OperationalError) and "full" in str(error)


def disk_full(service: str) -> ServiceError:
    """The error of ``service``, as IAM names it."""
    code, status = _LIMITS.get(service, ("ServiceUnavailable", 503))
    message = (
        "No space is left on the disk of the local AWS's data folder. What is stored is sound; nothing of this call "
        "was kept. Free some space, or delete objects that are not needed, and call again."
    )
    return ServiceError(code, message, status)


def with_room(application: WSGIApplication, folder: Path) -> WSGIApplication:
    """``application``, but calls that store something are refused if there is no space."""

    def guarded(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] in ("GET", "HEAD", "DELETE", "OPTIONS"):
            return application(environ, start_response)
        length = environ.get("CONTENT_LENGTH") or "0"
        wanted = RESERVED_BYTES + (int(length) if length.isdecimal() else 0)
        if shutil.disk_usage(folder).free < wanted:
            call, _ = call_of(environ)
            if call.operation.startswith(_STORING):
                return send_error(call, disk_full(call.service), environ, start_response)
        return application(environ, start_response)

    return guarded
