"""Messages: why a container was not started or was killed, and what to do."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from stepbridge_local.runtimes.process.errors import USE_DOCKER
from stepbridge_local.runtimes.process.sandbox import LaunchSpec

__all__ = ["killed_for", "start_failure"]

_TOO_MANY: Final = b"more processes than "

_FORBIDDEN: Final = frozenset({errno.EPERM, errno.EACCES, errno.ENOSPC, errno.ENOSYS, errno.EINVAL, errno.EUSERS})

# Settings that forbid namespaces to a user, the value that forbids them, and how to allow them again.
_SETTINGS: Final = (
    ("/proc/sys/user/max_user_namespaces", "0", "sysctl user.max_user_namespaces=15000"),
    ("/proc/sys/kernel/unprivileged_userns_clone", "0", "sysctl kernel.unprivileged_userns_clone=1"),
    (
        "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "sysctl kernel.apparmor_restrict_unprivileged_userns=0",
    ),
)


def _setting(path: str) -> str:
    file = Path(path)
    return file.read_text().strip() if file.is_file() else ""


def killed_for(message: bytes) -> str:
    """The text for what ``launcher`` reported when it killed a container; empty for a failed start."""
    if not message.startswith(_TOO_MANY):
        return ""
    bound = message.removeprefix(_TOO_MANY).partition(b"\0")[0].decode()
    return (
        f"all of its processes were killed: they were more than {bound}, threads included; "
        "start fewer at a time (a program that starts itself again and again is a common cause)"
    )


def start_failure(message: bytes, spec: LaunchSpec, setting: Callable[[str], str] = _setting) -> str:
    """The text for what ``launcher`` reported: step, errno and detail."""
    step, digits, detail = os.fsdecode(message).split("\0", 2)
    number = int(digits)
    if step.startswith("run "):
        return _not_run(spec, number, detail)
    name = errno.errorcode.get(number, str(number))
    found = f"the container's private root could not be set up: {step} failed with {name} ({detail})"
    if number not in _FORBIDDEN:
        return found
    causes = [f"{path} is {value}: as root, `{allow}`" for path, value, allow in _SETTINGS if setting(path) == value]
    allow = "; ".join(causes) or (
        "inside of a container, start that with `--privileged`, or with `--security-opt seccomp=unconfined "
        "--security-opt apparmor=unconfined --cap-add SYS_ADMIN`"
    )
    return f"{found}; this system forbids namespaces to this user; {allow}; or {USE_DOCKER.partition(',')[0]}"


def _not_run(spec: LaunchSpec, number: int, detail: str) -> str:
    command = " ".join(spec.command)
    program = spec.command[0]
    if number == errno.ENOENT:
        where = "" if "/" in program else f" on PATH ({spec.environment.get('PATH', '')})"
        found = f"there is no {program}{where}, or the interpreter in its first line does not exist"
        remedy = "check ENTRYPOINT and CMD of the image, or the job's entrypoint"
    elif number == errno.EACCES:
        found = f"{program} is not executable"
        remedy = "set its execute bit (COPY --chmod=755), or name an interpreter in front of it"
    elif number == errno.ENOEXEC:
        found = f"{program} has no `#!` line and is no program"
        remedy = "name an interpreter in its first line"
    else:
        found, remedy = detail, "check the command and its working folder"
    return f"the command `{command}` could not be started in {spec.working_folder}: {found}; {remedy}"
