"""The run report as values. Times are aware datetimes, durations are seconds."""

from datetime import datetime
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field

from stepbridge.core.failures import NO_INPUT
from stepbridge.core.statuses import EXECUTION_STATUSES, JOB_STATUSES

NOT_STARTED: Final = "NotStarted"
"""No job was created: SageMaker refused the request, or the execution ended first."""

UNKNOWN: Final = "Unknown"
"""A job was created, but neither a description nor the history says how it ended."""


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Processed(_Value):
    """What a job and a stage have in common. ``instance_seconds`` is what SageMaker bills: instances times the time
    they processed."""

    status: str
    job_arn: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    seconds: float | None = None
    instance_type: str | None = None
    instance_count: int | None = None
    instance_seconds: float = 0.0
    exit_message: str | None = None
    failure_reason: str | None = None


class JobReport(_Processed):
    """One Processing job."""

    job_name: str
    created_at: datetime | None = None


class StageReport(_Processed):
    """One stage: its last job's facts, and the sums over all its jobs.

    ``status`` is that of the last job as SageMaker has it, or NOT_STARTED or UNKNOWN. ``started_at`` to ``ended_at``
    is the stage's time in the execution, with queueing and back-off; ``seconds`` is that time without the time in
    which a failed execution waited for its redrive, and so is ``offset_seconds``, the time from the execution's start
    to the stage's. ``attempts`` counts the requests to SageMaker, refused ones too. ``error`` and ``cause`` are what
    Step Functions says of the last attempt, if that failed.
    """

    stage: str
    state_name: str
    job_name: str | None = None
    offset_seconds: float | None = None
    output_uri: str | None = None
    output_folder: str | None = None
    attempts: int = 0
    error: str | None = None
    cause: str | None = None
    jobs: tuple[JobReport, ...] = ()

    @property
    def succeeded(self) -> bool:
        row = JOB_STATUSES.get(self.status)
        return row is not None and row.succeeded

    @property
    def failed(self) -> bool:
        """Whether its last attempt ended without success."""
        row = JOB_STATUSES.get(self.status)
        return row.failed if row is not None else self.error is not None


class ObjectReport(_Value):
    """An object. ``rows`` is None when they were not counted: no table of lines, or too large."""

    key: str
    bytes: int
    etag: str
    rows: int | None = None


class Listing(_Value):
    """The objects below ``uri``: how many, their bytes and rows together, and the first of them by name.

    ``complete`` is False when not all were listed. ``rows`` is None unless the rows of every object were counted.
    """

    uri: str
    count: int
    bytes: int
    rows: int | None = None
    complete: bool = True
    objects: tuple[ObjectReport, ...] = ()


class CostReport(_Value):
    """``total`` is in the currency of the prices; None when an instance type that was used has no price."""

    total: float | None
    by_stage: dict[str, float] = Field(default_factory=dict)
    unpriced: tuple[str, ...] = ()


class RunReport(_Value):
    """What an execution did. ``seconds`` leaves out the time between a failure and its redrive.

    ``input`` is the execution input as the execution got it. A stage that was never entered is not among ``stages``.
    ``image_digest`` is that of inference's image, ``code_digest`` that of the scripts folder; ``definition_revision``
    is the revision of the state machine's definition that the execution ran, and the two ARNs are those of its version
    and alias, if it was started through one. ``inputs``, ``outputs`` and ``cost`` are None when they are not known.
    ``failure`` is what the log of a failed task says: the last log lines, links and what to do.
    """

    version: int = 2
    execution_arn: str
    execution_name: str
    state_machine_arn: str | None = None
    model: str | None = None
    status: str
    started_at: datetime | None = None
    ended_at: datetime | None = None
    seconds: float | None = None
    redrive_count: int = 0
    error: str | None = None
    cause: str | None = None
    output_uri: str | None = None
    input: dict[str, Any] = Field(default_factory=dict)
    stages: tuple[StageReport, ...] = ()
    instance_seconds: float = 0.0
    image_uri: str | None = None
    image_digest: str | None = None
    code_uri: str | None = None
    code_digest: str | None = None
    state_machine_version_arn: str | None = None
    state_machine_alias_arn: str | None = None
    definition_revision: str | None = None
    inputs: Listing | None = None
    outputs: Listing | None = None
    cost: CostReport | None = None
    failure: str | None = None

    @property
    def succeeded(self) -> bool:
        return EXECUTION_STATUSES[self.status].succeeded

    @property
    def failed_stage(self) -> StageReport | None:
        """The stage in which the execution ended, or None when it succeeded or ended outside of a stage."""
        if self.succeeded:
            return None
        return next((stage for stage in reversed(self.stages) if not stage.succeeded), None)

    @property
    def silent_stage(self) -> StageReport | None:
        """The stage that stored nothing for the failed one to read; None when that failed for another reason."""
        failed = self.failed_stage
        before = self.stages[: self.stages.index(failed)] if failed else ()
        if not failed or not before or not before[-1].succeeded or not before[-1].output_uri:
            return None
        text = f"{failed.failure_reason or failed.cause}"
        return before[-1] if NO_INPUT.search(text) and before[-1].output_uri.rstrip("/") in text else None

    @property
    def key_figures(self) -> dict[str, Any]:
        """What an asset event holds of the run: where the output is, and the numbers that people watch."""
        outputs = self.outputs
        return {
            "output_uri": self.output_uri,
            "execution_arn": self.execution_arn,
            "seconds": self.seconds,
            "instance_seconds": self.instance_seconds,
            "cost": self.cost.total if self.cost else None,
            **({"objects": outputs.count, "bytes": outputs.bytes, "rows": outputs.rows} if outputs else {}),
            "image_digest": self.image_digest,
            "code_digest": self.code_digest,
            "redrive_count": self.redrive_count,
        }

    def to_json(self) -> str:
        """The report, as it is kept beside the outputs."""
        return self.model_dump_json(indent=2)
