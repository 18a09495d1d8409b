"""SageMaker Processing: the four operations, and the threads that run the jobs."""

from __future__ import annotations

import dataclasses
import logging
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from threading import Event as Flag
from threading import Lock, Thread, Timer
from time import monotonic
from typing import Any

from stepbridge_local.fault_injection.active_faults import FaultInjection
from stepbridge_local.fault_injection.jobs import instance_limit_exceeded
from stepbridge_local.persistence.reserve import DiskReserve
from stepbridge_local.protocols import ContainerRuntime, ImageRegistry, LogSink, ObjectStore, Scope
from stepbridge_local.services.iam.permissions import UNENFORCED, Permissions, RoleNotAssumableError
from stepbridge_local.services.iam.role_access import RoleLogs, RoleRegistry, RoleStore
from stepbridge_local.services.sagemaker import description, rules
from stepbridge_local.services.sagemaker.errors import (
    FAILURE_REASON_MAX_LENGTH,
    job_not_stoppable,
    role_not_assumable,
    service_closed,
)
from stepbridge_local.services.sagemaker.job import INTERRUPTED, Event, Outcome, ProcessingJob, Status, advance, finish
from stepbridge_local.services.sagemaker.job_list import page, selection
from stepbridge_local.services.sagemaker.outcome import StopCause
from stepbridge_local.services.sagemaker.runner import JobRun, JobServices, remove_tree
from stepbridge_local.services.sagemaker.store import JobStore
from stepbridge_local.services.sagemaker.validation import validated

__all__ = ["ProcessingService"]

_log = logging.getLogger(__name__)
_STOP_GRACE_SECONDS = 120.0  # documented for StopTrainingJob; for processing jobs AWS documents nothing
_SHUTDOWN_GRACE_SECONDS = 2.0
_SHUTDOWN_WAIT_SECONDS = 10.0


def utc_now() -> datetime:
    """The time in whole milliseconds, as SageMaker's times are."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


class ProcessingService:
    """SageMaker Processing for all accounts and regions.

    Requests and responses are AWS's JSON shapes with datetimes for times; API errors are ServiceErrors. At most
    ``max_concurrent_jobs`` jobs run at once; others wait InProgress. Records are in ``jobs_folder`` and survive a
    restart. Unfinished jobs of an earlier process become Failed at the start. ``fault_injection`` has the injected
    faults, and ``permissions`` checks the permissions of the jobs' roles. ``reserve`` is where records go on a full
    disk.
    """

    def __init__(
        self,
        store: ObjectStore,
        logs: LogSink,
        registry: ImageRegistry,
        runtime: ContainerRuntime,
        jobs_folder: Path,
        max_concurrent_jobs: int,
        *,
        stop_grace_seconds: float = _STOP_GRACE_SECONDS,
        clock: Callable[[], datetime] = utc_now,
        fault_injection: FaultInjection | None = None,
        permissions: Permissions = UNENFORCED,
        reserve: DiskReserve | None = None,
    ) -> None:
        self._permissions = permissions
        self._fault_injection = fault_injection or FaultInjection()
        self._services = JobServices(
            store, logs, registry, runtime, stop_grace_seconds, self._fault_injection.job_speed
        )
        self._clock = clock
        self._work = jobs_folder / "work"
        remove_tree(self._work)  # what a killed process left
        self._jobs = JobStore(jobs_folder, clock(), reserve)
        self._max_concurrent_jobs = max_concurrent_jobs
        self._running = 0
        self._waiting: deque[_ActiveJob] = deque()
        self._lock = Lock()
        self._active: dict[tuple[Scope, str], _ActiveJob] = {}
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether ``stop_all`` was called."""
        return self._closed

    def create(self, scope: Scope, request: Mapping[str, Any]) -> dict[str, Any]:
        """CreateProcessingJob.

        Raises ValidationException, SerializationException, ResourceInUse or ResourceLimitExceeded.
        """
        accepted = validated("CreateProcessingJob", request)
        rules.check(scope, accepted)
        now = self._clock()
        name = accepted["ProcessingJobName"]
        job = ProcessingJob(scope, name, rules.with_defaults(accepted), now, now)
        services = self._services_for(job)
        run = JobRun(job, services, self._workspace(job), lambda event: self._record_event(scope, name, event))
        active = _ActiveJob(scope, name, run)
        with self._lock:
            if self._closed:
                raise service_closed()
            self._check_limit(job)
            self._jobs.add(job)
            self._active[scope, name] = active
            effect = self._fault_injection.on_jobs.effect_on(name)
            if effect.failure_reason is not None:
                active.forced_outcome = Outcome(Status.FAILED, effect.failure_reason)
            if not effect.delay_seconds:
                self._waiting.append(active)
                self._start_waiting()
        if effect.delay_seconds:
            self._start_later(active, effect.delay_seconds)
        return {"ProcessingJobArn": job.arn}

    def describe(self, scope: Scope, name: str) -> dict[str, Any]:
        """DescribeProcessingJob. Raises ValidationException, also for a name that no job has."""
        return description.describe(self._job(scope, "DescribeProcessingJob", name))

    def description_for_step_functions(self, scope: Scope, name: str) -> dict[str, Any]:
        """The job as the output or the error cause of ``createProcessingJob.sync``: JSON-serialisable, epoch millis."""
        job = self._job(scope, "DescribeProcessingJob", name)
        return description.description_for_step_functions(description.describe(job), job.request.get("Tags", []))

    def tags(self, scope: Scope, name: str) -> Sequence[Mapping[str, str]]:
        """The tags that the job was created with, for ListTags."""
        return [dict(tag) for tag in self._job(scope, "DescribeProcessingJob", name).request.get("Tags", [])]

    def list(self, scope: Scope, request: Mapping[str, Any]) -> dict[str, Any]:
        """ListProcessingJobs."""
        accepted = validated("ListProcessingJobs", request)
        return page(accepted, self._jobs.select(scope, selection(accepted)))

    def stop(self, scope: Scope, name: str) -> None:
        """StopProcessingJob. A job that has not begun is Stopped at once, another one when its containers have ended.

        Raises ValidationException when the job has ended or does not exist.
        """
        self._job(scope, "StopProcessingJob", name)
        self._jobs.update(scope, name, self._stopping)
        with self._lock:
            active = self._active.get((scope, name))
        if active is not None:
            active.run.stop(StopCause.CALLER)
            if active.claim():
                self._record_outcome(scope, name, Outcome(Status.STOPPED))

    def wait(self, scope: Scope, name: str, timeout_seconds: float | None) -> bool:
        """Whether the job ended within the time. Returns as soon as it does. None waits without a limit."""
        with self._lock:
            active = self._active.get((scope, name))
        if active is None:
            return self._jobs.get(scope, name).is_final
        return active.ended.wait(timeout_seconds)

    def stop_all(self) -> None:
        """Accept no more jobs, stop all running ones, and return when they have ended, after some seconds at most.

        Each becomes Failed, as if the process had died. Idempotent.
        """
        with self._lock:
            self._closed = True
            active = dict(self._active)
        for one in active.values():
            one.run.stop(StopCause.SHUTDOWN, _SHUTDOWN_GRACE_SECONDS)
        for (scope, name), one in active.items():
            if one.claim():
                self._record_outcome(scope, name, INTERRUPTED)
        deadline = monotonic() + _SHUTDOWN_WAIT_SECONDS
        for one in active.values():
            one.ended.wait(max(0.0, deadline - monotonic()))

    def _job(self, scope: Scope, operation: str, name: str) -> ProcessingJob:
        validated(operation, {"ProcessingJobName": name})
        return self._jobs.get(scope, name)

    def _workspace(self, job: ProcessingJob) -> Path:
        return self._work / job.scope.account_id / job.scope.region / job.name

    def _stopping(self, job: ProcessingJob) -> ProcessingJob:
        if job.is_final:
            raise job_not_stoppable(job.status)
        return advance(job, Event.STOP_REQUESTED, self._clock())

    def _record_event(self, scope: Scope, name: str, event: Event) -> None:
        self._jobs.update(scope, name, lambda job: advance(job, event, self._clock()))

    def _services_for(self, job: ProcessingJob) -> JobServices:
        """The services, used as the job's role. Raises ValidationException for a role that SageMaker cannot use."""
        role_arn = job.request["RoleArn"]
        try:
            role = self._permissions.assume_role("sagemaker.amazonaws.com", role_arn, "SageMaker", job.arn, job.scope)
        except RoleNotAssumableError:
            raise role_not_assumable(role_arn) from None
        services = self._services
        return dataclasses.replace(
            services,
            store=RoleStore(services.store, role),
            logs=RoleLogs(services.logs, role),
            registry=RoleRegistry(services.registry, role),
        )

    def _check_limit(self, job: ProcessingJob) -> None:
        """Raise ResourceLimitExceeded if the account has no instances left for the job. Holds the lock."""
        instance_type, count = job.selected_instances
        limit = self._fault_injection.on_jobs.instance_limit(instance_type)
        if limit is None:
            return
        in_use = sum(
            active.run.job.selected_instances[1]
            for (scope, _), active in self._active.items()
            if scope == job.scope and active.run.job.selected_instances[0] == instance_type
        )
        if in_use + count > limit:
            raise instance_limit_exceeded(instance_type, limit, in_use, count)

    def _start_later(self, active: _ActiveJob, delay_seconds: float) -> None:
        """Queue the job after the delay. Until then it does not take a place from others."""

        def queue() -> None:
            with self._lock:
                self._waiting.append(active)
                self._start_waiting()

        timer = Timer(delay_seconds, queue)
        timer.daemon = True
        timer.start()

    def _start_waiting(self) -> None:
        """Start waiting jobs in the order of their creation, as long as there are free places. Holds the lock."""
        while self._waiting and self._running < self._max_concurrent_jobs:
            active = self._waiting.popleft()
            if active.claim():  # otherwise it was stopped before it could start
                self._running += 1
                Thread(target=self._run_job, args=(active,), name=f"job-{active.name}", daemon=True).start()

    def _run_job(self, active: _ActiveJob) -> None:
        """The thread of a job: run it, record its end, make place for the next."""
        outcome: Outcome | None = None
        try:
            outcome = active.forced_outcome or active.run.run()
        finally:
            # An unexpected error ends this thread with its traceback in the log. But it must not leave the job
            # InProgress for ever, or keep its place.
            try:
                self._record_outcome(active.scope, active.name, outcome or _crash(sys.exception()))
            finally:
                with self._lock:
                    self._running -= 1
                    self._start_waiting()

    def _record_outcome(self, scope: Scope, name: str, outcome: Outcome) -> None:
        self._jobs.update(scope, name, lambda job: finish(job, outcome, self._clock()))
        with self._lock:
            active = self._active.pop((scope, name))
        active.ended.set()


class _ActiveJob:
    """A job that has not ended: its run, and a claim on how it ends."""

    def __init__(self, scope: Scope, name: str, run: JobRun) -> None:
        self.scope = scope
        self.name = name
        self.run = run
        self.forced_outcome: Outcome | None = None  # how it ends without having run
        self.ended = Flag()
        self._unclaimed = Lock()

    def claim(self) -> bool:
        """True for the first caller only: the one that starts the job, or the one that stops it before that."""
        return self._unclaimed.acquire(blocking=False)


def _crash(error: BaseException | None) -> Outcome:
    reason = f"InternalServerError: the local AWS failed to run the job: {type(error).__name__}: {error}"
    return Outcome(Status.FAILED, reason[:FAILURE_REASON_MAX_LENGTH])
