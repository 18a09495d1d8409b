"""The exit codes of the ``stepbridge-local`` command, as docs/commands.md lists them."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

__all__ = ["SUMMARY", "ExitCode"]


class ExitCode(IntEnum):
    """The exit codes. A number keeps its meaning from release to release."""

    SUCCESS = 0
    """Done. For ``up``: stopped by SIGINT or SIGTERM."""
    ERROR = 1
    """It failed, and stderr says why."""
    USAGE = 2
    """The command line is wrong: an unknown command or option, or an invalid value for an option."""
    NOT_RUNNING = 3
    """``status``: no local AWS is using the data folder."""
    INTERRUPTED = 130
    """Ctrl-C, for every command but ``up``."""


SUMMARY: Final = "Exit codes: 0 success, 1 error, 2 wrong command line, 3 no local AWS is running (status)."
