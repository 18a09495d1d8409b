"""What a start does about the latest execution of its task instance. Pure.

People clear because something has changed: the data, a script, an image, a table that a script reads. Retries are
Airflow's own, and nothing has changed. docs/starts.md has the table of what is done then.

An execution that was stopped for this very clear counts as RUNNING, and so does one that was superseded by a try that
died before it started the other one.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final

from stepbridge.core.failures import KILLED, SUPERSEDED, Retry, execution_failure
from stepbridge.core.statuses import execution_status

REDRIVABLE: Final = "REDRIVABLE"

CLEARED: Final = "cleared, or its run was"
"""In the cause of an execution that was stopped because its task was cleared, also by earlier versions."""


class Step(Enum):
    """What to do about the execution that was found, or start, if there is none."""

    START = "start"
    ADOPT = "adopt"
    REDRIVE = "redrive"
    REPORT = "report"
    REPLACE = "replace"
    START_ANEW = "start anew"


@dataclass(frozen=True)
class Snapshot:
    """What DescribeExecution said of an execution, and whether its input is the one that the start has now."""

    status: str
    error: str = ""
    cause: str = ""
    redrive_status: str = ""
    same_input: bool = True

    @property
    def running(self) -> bool:
        return not execution_status(self.status).terminal

    @property
    def stopped_for_a_new_one(self) -> bool:
        return self.error == SUPERSEDED or (self.error == KILLED and CLEARED in self.cause)


def next_step(found: Snapshot | None, *, cleared: bool) -> Step:
    """What to do about the execution that was ``found``; ``cleared``: the start was, after it had started that.

    REPLACE and START_ANEW end in another execution. Raises UnknownStatusError for a status that AWS does not document.
    """
    if found is None:
        return Step.START
    if cleared and not found.running and not found.stopped_for_a_new_one:
        return Step.START_ANEW
    if cleared or not found.same_input or found.error == SUPERSEDED:
        return Step.REPLACE
    if found.running or execution_status(found.status).succeeded:
        return Step.ADOPT
    if execution_failure(found.status, found.error, found.cause).retry is Retry.NEVER:
        return Step.REPORT
    return Step.REDRIVE if found.redrive_status == REDRIVABLE else Step.REPLACE
