"""From boto3's DescribeExecution, GetExecutionHistory and DescribeProcessingJob to the run report."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from stepbridge.core.names import STAGES
from stepbridge.core.run_report.history import Attempt, as_datetime, parsed_object, read_history
from stepbridge.core.run_report.model import NOT_STARTED, UNKNOWN, JobReport, RunReport, StageReport
from stepbridge.core.statuses import execution_status, job_status

_IMAGE_DIGEST: Final = re.compile(r"@(sha256:[0-9a-f]{64})$")
_CODE_DIGEST: Final = re.compile(r"/([0-9a-f]{64})/?$")
_OF_LAST_JOB: Final = {"job_arn", "status", "instance_type", "instance_count", "exit_message", "failure_reason"}


def build_run_report(
    execution: Mapping[str, Any],
    history: Sequence[Mapping[str, Any]],
    jobs: Mapping[str, Mapping[str, Any]],
    *,
    now: datetime | None = None,
) -> RunReport:
    """The report of ``execution`` (DescribeExecution) from its ``history`` (GetExecutionHistory's events).

    ``jobs`` maps job names to DescribeProcessingJob; a job without one is reported from the history alone. ``now``
    ends what still runs; without it the durations of what still runs are None. Raises UnknownStatusError.
    """
    status = execution_status(execution["status"])
    record = read_history(history)
    started_at = as_datetime(execution.get("startDate"))
    ended_at = (as_datetime(execution.get("stopDate")) or record.ended_at) if status.terminal else None
    given = parsed_object(execution.get("input"))
    clock = _Clock(record.pauses, started_at, ended_at or now)
    by_state: dict[str, list[Attempt]] = {}
    for attempt in record.attempts:
        by_state.setdefault(attempt.state_name, []).append(attempt)
    stages = tuple(_stage(state, attempts, jobs, clock) for state, attempts in by_state.items())
    return RunReport(
        execution_arn=execution["executionArn"],
        execution_name=execution.get("name") or execution["executionArn"].rpartition(":")[2],
        state_machine_arn=execution.get("stateMachineArn"),
        model=given.get("model") or None,
        status=status.name,
        started_at=started_at,
        ended_at=ended_at,
        seconds=clock.between(started_at, ended_at or now),
        redrive_count=execution.get("redriveCount") or len(record.pauses),
        error=execution.get("error"),
        cause=execution.get("cause"),
        output_uri=given.get("output_uri"),
        input=dict(given),
        stages=stages,
        instance_seconds=round(sum(stage.instance_seconds for stage in stages), 3),
        image_uri=given.get("custom_image_uri"),
        image_digest=_digest_in(given.get("custom_image_uri"), _IMAGE_DIGEST),
        code_uri=given.get("code_uri"),
        code_digest=_digest_in(given.get("code_uri"), _CODE_DIGEST),
        state_machine_version_arn=execution.get("stateMachineVersionArn"),
        state_machine_alias_arn=execution.get("stateMachineAliasArn"),
    )


def _digest_in(uri: Any, form: re.Pattern[str]) -> str | None:
    """The digest at the end of a URI; None if it has none, such as a ready image with a tag."""
    found = form.search(uri) if isinstance(uri, str) else None
    return found[1] if found else None


@dataclass(frozen=True)
class _Clock:
    """Measures time without the pauses before redrives; ``end`` is the end of what has not ended yet."""

    pauses: Sequence[tuple[datetime, datetime]]
    start: datetime | None
    end: datetime | None

    def between(self, start: datetime | None, end: datetime | None) -> float | None:
        if start is None or end is None:
            return None
        overlaps = (max(min(end, until) - max(start, since), timedelta()) for since, until in self.pauses)
        return round(max((end - start - sum(overlaps, timedelta())).total_seconds(), 0.0), 3)


def _stage(
    state: str, attempts: Sequence[Attempt], descriptions: Mapping[str, Mapping[str, Any]], clock: _Clock
) -> StageReport:
    jobs = [job for attempt in attempts if (job := _job(attempt, descriptions, clock)) is not None]
    last = attempts[-1]
    last_job = jobs[-1] if jobs and jobs[-1].job_name == last.job_name else None
    ended_at = last.ended_at or (last_job.ended_at if last_job else None)
    of_job = last_job.model_dump(include=_OF_LAST_JOB) if last_job else {"status": NOT_STARTED}
    return StageReport(
        stage=state.lower() if state.lower() in STAGES else state,
        state_name=state,
        job_name=last.job_name,
        started_at=attempts[0].scheduled_at,
        ended_at=ended_at,
        offset_seconds=clock.between(clock.start, attempts[0].scheduled_at),
        seconds=clock.between(attempts[0].scheduled_at, ended_at or clock.end),
        instance_seconds=round(sum(job.instance_seconds for job in jobs), 3),
        output_uri=_output(last.request, "S3Uri"),
        output_folder=_output(last.request, "LocalPath"),
        attempts=len(attempts),
        error=last.error,
        cause=last.cause,
        jobs=tuple(jobs),
        **of_job,
    )


def _job(attempt: Attempt, descriptions: Mapping[str, Mapping[str, Any]], clock: _Clock) -> JobReport | None:
    """The attempt's job; None when SageMaker created none."""
    name = attempt.job_name
    if name is None:
        return None
    description = descriptions.get(name) or attempt.description or attempt.response
    arn = description.get("ProcessingJobArn") or attempt.job_arn
    if not arn and not attempt.succeeded and name not in descriptions:
        return None
    # A description seldom lacks the resources, but the request always has them.
    cluster = (description.get("ProcessingResources") or attempt.request.get("ProcessingResources") or {}).get(
        "ClusterConfig", {}
    )
    started_at = as_datetime(description.get("ProcessingStartTime"))
    ended_at = as_datetime(description.get("ProcessingEndTime"))
    end = ended_at or clock.end
    # Plain time: a job that outlives its execution's end by its stopping is billed for that too.
    seconds = round(max((end - started_at).total_seconds(), 0.0), 3) if started_at and end else None
    count = cluster.get("InstanceCount")
    status = "Completed" if attempt.succeeded else UNKNOWN
    if "ProcessingJobStatus" in description:
        status = job_status(description["ProcessingJobStatus"]).name
    return JobReport(
        job_name=name,
        job_arn=arn,
        status=status,
        created_at=as_datetime(description.get("CreationTime")) or attempt.scheduled_at,
        started_at=started_at,
        ended_at=ended_at,
        seconds=seconds,
        instance_type=cluster.get("InstanceType"),
        instance_count=count,
        instance_seconds=round((seconds or 0.0) * (count or 1), 3),
        exit_message=description.get("ExitMessage") or None,
        failure_reason=description.get("FailureReason") or None,
    )


def _output(request: Mapping[str, Any], member: str) -> str | None:
    outputs = request.get("ProcessingOutputConfig", {}).get("Outputs", [])
    return next((output.get("S3Output", {}).get(member) for output in outputs), None)
