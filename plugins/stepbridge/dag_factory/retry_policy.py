"""Which failures of a model's tasks are tried again, and when: by what failed, not by counting.

A retry can only be earlier refused or later made; how many there are at most is the card's ``retries``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from airflow.sdk import RetryDecision, RetryPolicy

from stepbridge.aws.calls import (
    AccessDeniedError,
    CredentialsError,
    NotFoundError,
    QuotaExceededError,
    RequestRejectedError,
    ThrottledError,
)
from stepbridge.errors import ConfigurationError, UnknownStatusError
from stepbridge.images.build_context import FolderError
from stepbridge.operators.errors import InputNotFoundError
from stepbridge.reporting.run_facts import EmptyOutputError
from stepbridge.sensors.errors import ExecutionFailedError, InputCheckError
from stepbridge.triggers.stop_reasons import STOP_ERRORS

if TYPE_CHECKING:
    from airflow.sdk import Context

__all__ = ["LATE", "ModelRetryPolicy", "decided"]

LATE: Final = timedelta(minutes=15)
"""After how long what is short (capacity, a quota, credentials that somebody has to renew) is tried again."""

_FINAL: Final = (
    ConfigurationError, FolderError, AccessDeniedError, RequestRejectedError, UnknownStatusError, EmptyOutputError, InputNotFoundError, InputCheckError,
)  # fmt: skip
_SHORT: Final = (QuotaExceededError, ThrottledError, CredentialsError)

# By the error of the execution, as the state machine's "Give up" has it (asl/batch_inference.asl.json).
_FINAL_ERRORS: Final = {
    "AlgorithmError": "the script or container failed, and would fail again on the same input",
    "ClientError": "SageMaker could not use the input, the image or the role as they are",
    "InvalidInput": "the execution input is not valid",
    "JobStopped": "somebody stopped the Processing job",
    "States.Timeout": "it took longer than max_runtime allows",
    "States.Runtime": "the state machine cannot process this input",
    "States.DataLimitExceeded": "the input or a result is larger than Step Functions takes",
    "States.QueryEvaluationError": "the state machine cannot process this input",
}
_SHORT_ERRORS: Final = ("CapacityError", "SageMaker.ResourceLimitExceededException", "ThrottlingException")
_SERVICE_TEXT: Final = re.compile(r"Status Code: 5|Unable to execute HTTP request")
_THROTTLED_TEXT: Final = re.compile(r"Throttl|Rate exceeded")


@dataclass(frozen=True)  # whose repr is the same at every parse: Airflow keeps default_args as text
class ModelRetryPolicy(RetryPolicy):
    """Validation, permission and script errors fail at once; capacity and limits are retried after 15 minutes.

    Everything else, such as a lost network or a killed worker, is retried as the task says.
    """

    def evaluate(
        self,
        exception: BaseException,
        try_number: int,  # noqa: ARG002  Airflow's signature
        max_tries: int,  # noqa: ARG002
        context: Context | None = None,  # noqa: ARG002
    ) -> RetryDecision:
        """What Airflow shall do about the failure."""
        return decided(exception)

    def serialize(self) -> dict[str, Any]:
        """The policy has no settings."""
        return {"__type": "ModelRetryPolicy"}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> ModelRetryPolicy:  # noqa: ARG003
        return cls()


def decided(exception: BaseException) -> RetryDecision:
    """What is to be done about a failure, and why."""
    kind = type(exception).__name__
    if isinstance(exception, ExecutionFailedError):
        return _of_execution(exception)
    if isinstance(exception, _SHORT):
        return RetryDecision.retry(LATE, f"{kind}: tried again in {LATE}")
    if isinstance(exception, NotFoundError):
        # An execution that was started a moment ago may not be known everywhere yet.
        transient = exception.code in ("", "ExecutionDoesNotExist")
        return RetryDecision.default() if transient else RetryDecision.fail(f"{kind}: it has to be made first")
    if isinstance(exception, _FINAL):
        return RetryDecision.fail(f"{kind}: it would fail again")
    return RetryDecision.default()


def _of_execution(failure: ExecutionFailedError) -> RetryDecision:
    error = failure.error
    if failure.status == "ABORTED":
        if error in STOP_ERRORS:
            return RetryDecision.default()
        return RetryDecision.fail("the execution was aborted outside of Airflow, and somebody meant that")
    if failure.status == "TIMED_OUT":
        return RetryDecision.fail(_FINAL_ERRORS["States.Timeout"])
    if error in _FINAL_ERRORS:
        return RetryDecision.fail(f"{error}: {_FINAL_ERRORS[error]}")
    if error.endswith(_SHORT_ERRORS) or (error.startswith("SageMaker.") and _THROTTLED_TEXT.search(failure.text)):
        return RetryDecision.retry(LATE, f"{error}: the stages that finished are kept, the rest is tried in {LATE}")
    if error.startswith("SageMaker.") and not _SERVICE_TEXT.search(failure.text):
        return RetryDecision.fail(f"{error}: SageMaker refused the request, and would again")
    return RetryDecision.default()
