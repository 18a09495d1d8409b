"""The faults of processing jobs: limits on instances, failures on SageMaker's side, slow starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from stepbridge_local.fault_injection.chance import Chance
from stepbridge_local.fault_injection.faults import InstanceLimitFault, JobFailureFault, SlowStartFault
from stepbridge_local.protocols import ServiceError

__all__ = ["JobEffect", "JobFaults", "instance_limit_exceeded"]


@dataclass(frozen=True)
class JobEffect:
    """A job stays InProgress for ``delay_seconds`` and then fails for ``failure_reason``, or runs if that is None."""

    delay_seconds: float = 0.0
    failure_reason: str | None = None


class JobFaults:
    """The faults that concern jobs."""

    def __init__(
        self, rules: Sequence[tuple[JobFailureFault | SlowStartFault, Chance]], limits: Sequence[InstanceLimitFault]
    ) -> None:
        self._rules = rules
        self._limits = {limit.instance_type: limit.maximum for limit in limits}

    def instance_limit(self, instance_type: str) -> int | None:
        """How many instances of the type may be in use at a time; None: no limit."""
        return self._limits.get(instance_type)

    def effect_on(self, job_name: str) -> JobEffect:
        """What happens to a job that is about to start; counts as one candidate of every rule for its name."""
        delay, reason = 0.0, None
        for rule, chance in self._rules:
            if not fnmatchcase(job_name, rule.jobs) or not chance.strike():
                continue
            if isinstance(rule, SlowStartFault):
                delay += rule.seconds
            else:
                reason = reason or rule.failure_reason
        return JobEffect(delay, reason)


def instance_limit_exceeded(instance_type: str, limit: int, in_use: int, asked: int) -> ServiceError:
    """The answer to a job whose instances are more than the account may have at a time."""
    return ServiceError(
        "ResourceLimitExceeded",
        f"The account-level service limit '{instance_type} for processing job usage' is {limit} Instances, with "
        f"current utilization of {in_use} Instances and a request delta of {asked} Instances. Please use AWS Service "
        "Quotas to request an increase for this quota. If AWS Service Quotas is not available, contact AWS support to "
        "request an increase for this quota.",
    )
