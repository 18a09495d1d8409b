"""The states of a processing job: a table of statuses and events, and the frozen record that goes through it.

Pure: no clock, no I/O. A transition that is not in ``TRANSITIONS`` is a bug of the caller and changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from stepbridge_local.partitions import partition
from stepbridge_local.protocols import Scope
from stepbridge_local.services.sagemaker.errors import FAILURE_REASON_MAX_LENGTH, IllegalTransitionError

__all__ = ["FINAL", "INTERRUPTED", "TRANSITIONS", "Event", "Outcome", "ProcessingJob", "Status", "advance", "finish"]


class Status(StrEnum):
    """ProcessingJobStatus, all its values."""

    IN_PROGRESS = "InProgress"
    STOPPING = "Stopping"
    STOPPED = "Stopped"
    COMPLETED = "Completed"
    FAILED = "Failed"


class Event(StrEnum):
    """What can happen to a job."""

    STARTED = "started"  # its containers run
    STOP_REQUESTED = "stop requested"  # by a caller, or by its maximum runtime
    STOPPED = "stopped"
    COMPLETED = "completed"
    FAILED = "failed"


# Every status has a row; an event that is missing in a row is illegal there. A final status has an empty row.
TRANSITIONS: Mapping[Status, Mapping[Event, Status]] = {
    Status.IN_PROGRESS: {
        Event.STARTED: Status.IN_PROGRESS,
        Event.STOP_REQUESTED: Status.STOPPING,
        Event.COMPLETED: Status.COMPLETED,
        Event.FAILED: Status.FAILED,
    },
    Status.STOPPING: {
        Event.STARTED: Status.STOPPING,  # the stop came while the containers were being started
        Event.STOP_REQUESTED: Status.STOPPING,  # a second caller
        Event.STOPPED: Status.STOPPED,
        Event.FAILED: Status.FAILED,
    },
    Status.STOPPED: {},
    Status.COMPLETED: {},
    Status.FAILED: {},
}

FINAL = frozenset(status for status, row in TRANSITIONS.items() if not row)


@dataclass(frozen=True)
class Outcome:
    """How a job ends: one of the final statuses, with its messages."""

    status: Status
    failure_reason: str | None = None  # at most 1024 characters
    exit_message: str | None = None  # at most 1024 bytes of UTF-8


INTERRUPTED = Outcome(Status.FAILED, "InternalServerError: the local AWS was stopped while the job ran")


@dataclass(frozen=True)
class ProcessingJob:
    """The record of a processing job. ``request`` is the CreateProcessingJob request with its defaults filled in."""

    scope: Scope
    name: str
    request: Mapping[str, Any]
    creation_time: datetime  # all times: UTC, whole milliseconds, as SageMaker gives them
    last_modified_time: datetime
    status: Status = Status.IN_PROGRESS
    start_time: datetime | None = None
    end_time: datetime | None = None
    exit_message: str | None = None
    failure_reason: str | None = None

    @property
    def is_final(self) -> bool:
        return self.status in FINAL

    @property
    def arn(self) -> str:
        region, account = self.scope.region, self.scope.account_id
        return f"arn:{partition(region)}:sagemaker:{region}:{account}:processing-job/{self.name}"

    @property
    def max_runtime_seconds(self) -> int:
        return int(self.request["StoppingCondition"]["MaxRuntimeInSeconds"])

    @property
    def instance_count(self) -> int:
        return self.selected_instances[1]

    @property
    def selected_instances(self) -> tuple[str, int]:
        """Instance type and count that the job runs on: of InstancePreferences the first, as there is capacity."""
        cluster = self.request["ProcessingResources"]["ClusterConfig"]
        chosen = cluster["InstancePreferences"][0] if "InstancePreferences" in cluster else cluster
        return chosen["InstanceType"], int(
            chosen["InstanceCount"] if "InstanceCount" in chosen else cluster["InstanceCount"]
        )


def advance(job: ProcessingJob, event: Event, at: datetime, outcome: Outcome | None = None) -> ProcessingJob:
    """The job after ``event``. Raises IllegalTransitionError when the table has no such transition."""
    status = TRANSITIONS[job.status].get(event)
    if status is None:
        allowed = ", ".join(TRANSITIONS[job.status]) or "nothing, the status is final"
        raise IllegalTransitionError(f"processing job {job.name}", f"'{event}' while {job.status}", allowed)
    changed = replace(job, status=status, last_modified_time=at)
    if event is Event.STARTED:
        changed = replace(changed, start_time=at)
    if status in FINAL:
        changed = replace(changed, end_time=at)
    if outcome is not None:
        reason = outcome.failure_reason and outcome.failure_reason[:FAILURE_REASON_MAX_LENGTH]
        changed = replace(changed, failure_reason=reason, exit_message=outcome.exit_message)
    return changed


def finish(job: ProcessingJob, outcome: Outcome, at: datetime) -> ProcessingJob:
    """The job in the final status of ``outcome``. A job that completes while it is being stopped is Stopped."""
    if outcome.status is Status.FAILED:
        return advance(job, Event.FAILED, at, outcome)
    if job.status is Status.STOPPING:
        return advance(job, Event.STOPPED, at, outcome)
    event = Event.COMPLETED if outcome.status is Status.COMPLETED else Event.STOPPED
    return advance(job, event, at, outcome)
