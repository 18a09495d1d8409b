"""The faults that can be set, as the admin API takes them: JSON, validated here.

Each has a ``name``, by which it is listed and cleared; setting another of the same name replaces it. The default name
is the type of the fault; for a limit, the instance type follows it.
"""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, field_validator

__all__ = [
    "ClockFault",
    "ConnectionFault",
    "ErrorFault",
    "Fault",
    "IamFault",
    "InstanceLimitFault",
    "JobFailureFault",
    "LatencyFault",
    "RateSetting",
    "SlowStartFault",
    "ThrottlingFault",
    "fault_adapter",
]

_OPERATION: Final = re.compile(r"[a-z][a-z0-9-]*:[A-Za-z0-9*?]+|\*")
_ONE_OPERATION: Final = re.compile(r"[a-z][a-z0-9-]*:[A-Za-z0-9]+")
MAXIMUM_SPEED: Final = 1_000_000.0


class _Fault(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field("", max_length=80, pattern=r"^[A-Za-z0-9._:-]*$", description="Default: the type of the fault.")

    @property
    def key(self) -> str:
        """The name, or the default name."""
        return self.name or str(getattr(self, "fault", ""))


class _Chances(_Fault):
    rate: float = Field(1.0, gt=0, le=1, description="The share of the candidates that are hit.")
    times: int | None = Field(None, ge=1, description="How many are hit at most; none: no limit.")
    seed: int | None = Field(None, description="The same seed hits the same candidates, counted from the start.")


class _OnRequests(_Chances):
    operations: tuple[str, ...] = Field(
        min_length=1, description="Which operations, as IAM names them, with * and ?: states:StartExecution, s3:*"
    )

    @field_validator("operations")
    @classmethod
    def _named_as_iam_does(cls, operations: tuple[str, ...]) -> tuple[str, ...]:
        for operation in operations:
            if not _OPERATION.fullmatch(operation):
                raise ValueError(f"{operation!r}: expected service:Operation, as in states:StartExecution or s3:*")
        return operations


class _OnJobs(_Chances):
    jobs: str = Field("*", min_length=1, description="Job names, with * and ?.")


class RateSetting(BaseModel):
    """A token bucket: ``bucket`` requests at once, then ``refill_per_second``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    bucket: int = Field(ge=1)
    refill_per_second: float = Field(gt=0)


class ThrottlingFault(_Fault):
    """Requests above a rate are answered ThrottlingException, those of Step Functions included."""

    fault: Literal["throttling"] = "throttling"
    aws: bool = Field(True, description="AWS's own rates, for the operations that have one.")
    rates: dict[str, RateSetting] = Field({}, description="Rates by operation, instead of AWS's.")
    step_functions_error: Literal["ThrottlingException", "SageMaker.AmazonSageMakerException"] = Field(
        "ThrottlingException",
        description="The error of a throttled CreateProcessingJob in a state machine; AWS's own samples retry both.",
    )

    @field_validator("rates")
    @classmethod
    def _of_one_operation_each(cls, rates: dict[str, RateSetting]) -> dict[str, RateSetting]:
        for operation in rates:
            if not _ONE_OPERATION.fullmatch(operation):
                raise ValueError(f"{operation!r}: expected service:Operation without * and ?")
        return rates


class ErrorFault(_OnRequests):
    """An error response, instead of the operation or after it was carried out."""

    fault: Literal["error"] = "error"
    status: int = Field(500, ge=400, le=599, description="The HTTP status.")
    code: str = Field("", description="AWS's error code; default: the service's for the status.")
    message: str = Field("", description="Default: a text that goes with the status.")
    when: Literal["before", "after"] = Field("before", description="Before the operation, or once it was carried out.")


class ConnectionFault(_OnRequests):
    """The connection is closed without a response, before the operation or after it (a lost response)."""

    fault: Literal["drop"] = "drop"
    when: Literal["before", "after"] = "before"


class LatencyFault(_OnRequests):
    """The operation is delayed."""

    fault: Literal["latency"] = "latency"
    seconds: float = Field(ge=0, le=3600)
    jitter_seconds: float = Field(0.0, ge=0, le=3600, description="Up to this much longer, evenly distributed.")


class InstanceLimitFault(_Fault):
    """Processing jobs of one account and region may have at most ``maximum`` instances of a type at a time.

    A job above that is answered ResourceLimitExceeded.
    """

    fault: Literal["instance-limit"] = "instance-limit"
    instance_type: str = Field(pattern=r"^ml\.[a-z0-9-]+\.[a-z0-9-]+$")
    maximum: int = Field(ge=0)

    @property
    def key(self) -> str:
        return self.name or f"{self.fault}:{self.instance_type}"


class JobFailureFault(_OnJobs):
    """Jobs end Failed, with SageMaker's own text for the reason, before their container starts."""

    fault: Literal["job-failure"] = "job-failure"
    reason: Literal["CapacityError", "InternalServerError"]
    message: str = Field("", max_length=900, description="Default: AWS's text for the reason.")

    TEXTS: ClassVar[dict[str, str]] = {
        "CapacityError": "Unable to provision requested ML compute capacity. "
        "Please retry using a different ML instance type.",
        "InternalServerError": "We encountered an internal error. Please try again.",
    }

    @property
    def failure_reason(self) -> str:
        return f"{self.reason}: {self.message or self.TEXTS[self.reason]}"


class SlowStartFault(_OnJobs):
    """Jobs stay InProgress for ``seconds`` before they start."""

    fault: Literal["slow-start"] = "slow-start"
    seconds: float = Field(gt=0, le=86_400)


class ClockFault(_Fault):
    """Waiting in state machines takes less time. See ``execution_time``."""

    fault: Literal["clock"] = "clock"
    speed: float = Field(ge=1, le=MAXIMUM_SPEED, description="How many times faster waiting passes.")
    jobs: bool = Field(False, description="Also while tasks run, and for the maximum runtime of jobs.")


class IamFault(_Fault):
    """Permissions are enforced: what no policy allows is denied."""

    fault: Literal["iam"] = "iam"


Fault = (
    ThrottlingFault
    | ErrorFault
    | ConnectionFault
    | LatencyFault
    | InstanceLimitFault
    | JobFailureFault
    | SlowStartFault
    | ClockFault
    | IamFault
)
fault_adapter: TypeAdapter[Fault] = TypeAdapter(Annotated[Fault, Field(discriminator="fault")])
