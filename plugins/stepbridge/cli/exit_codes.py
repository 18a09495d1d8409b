"""The exit codes of the ``stepbridge`` command, as docs/cli.md lists them, and the errors that have their own."""

import importlib.util
from enum import IntEnum
from typing import ClassVar, Final

from stepbridge.errors import StepbridgeError


class ExitCode(IntEnum):
    """What the command ends with; a number keeps its meaning from release to release."""

    SUCCESS = 0  # demo: the predictions are there; preflight: nothing is missing
    ERROR = 1  # demo: the run failed, or the site did not come up; preflight: something is missing
    USAGE = 2
    NOT_RUNNING = 3
    MISSING_EXTRA = 4
    INTERRUPTED = 130


SUMMARY: Final = (
    "Exit codes: 0 success, 1 error, 2 wrong command line, 3 no local AWS is running (local status), "
    "4 the extra 'local' is not installed, 130 interrupted."
)


class OptionError(StepbridgeError):
    """An option has a value that it does not take."""

    exit_code: ClassVar = ExitCode.USAGE


class MissingExtraError(StepbridgeError):
    """The command needs a package that only an extra of stepbridge installs."""

    exit_code: ClassVar = ExitCode.MISSING_EXTRA


def require_local(command: str) -> None:
    """Raises MissingExtraError, which names ``command``, unless the extra ``local`` is installed: the local AWS."""
    if importlib.util.find_spec("stepbridge_local") is None:
        remedy = "pip install 'stepbridge[local]'"
        raise MissingExtraError(f"stepbridge {command}", "the local AWS is not installed", "", remedy)
