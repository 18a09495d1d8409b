"""Status tables of executions, Processing jobs and image builds: every status that AWS documents has a row.

A status without a row is an error, never a guess. Sources:
https://docs.aws.amazon.com/step-functions/latest/apireference/API_DescribeExecution.html,
https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_DescribeProcessingJob.html and
https://docs.aws.amazon.com/codebuild/latest/APIReference/API_Build.html.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from stepbridge.errors import UnknownStatusError


@dataclass(frozen=True)
class Status:
    """``terminal``: it no longer changes by itself. ``failed``: it ended without success."""

    name: str
    terminal: bool
    failed: bool

    @property
    def succeeded(self) -> bool:
        return self.terminal and not self.failed


def _table(running: Sequence[str], succeeded: str, failed: Sequence[str]) -> Mapping[str, Status]:
    return {
        **{name: Status(name, terminal=False, failed=False) for name in running},
        succeeded: Status(succeeded, terminal=True, failed=False),
        **{name: Status(name, terminal=True, failed=True) for name in failed},
    }


# PENDING_REDRIVE is a status of the children of a redriven Map state only.
EXECUTION_STATUSES: Final = _table(("RUNNING", "PENDING_REDRIVE"), "SUCCEEDED", ("FAILED", "TIMED_OUT", "ABORTED"))
# botocore's waiter counts Stopped as success, but its outputs are partial.
JOB_STATUSES: Final = _table(("InProgress", "Stopping"), "Completed", ("Failed", "Stopped"))
BUILD_STATUSES: Final = _table(("IN_PROGRESS",), "SUCCEEDED", ("FAILED", "FAULT", "TIMED_OUT", "STOPPED"))


def execution_status(name: str) -> Status:
    """The row of a Step Functions execution's status. Raises UnknownStatusError."""
    return _row("status of an execution", name, EXECUTION_STATUSES)


def job_status(name: str) -> Status:
    """The row of a Processing job's status. Raises UnknownStatusError."""
    return _row("status of a Processing job", name, JOB_STATUSES)


def build_status(name: str) -> Status:
    """The row of a CodeBuild build's status. Raises UnknownStatusError."""
    return _row("status of a build", name, BUILD_STATUSES)


def _row(where: str, name: str, table: Mapping[str, Status]) -> Status:
    row = table.get(name)
    if row is None:
        raise UnknownStatusError(where, repr(name), "one of " + ", ".join(table), "a newer stepbridge may know it")
    return row
