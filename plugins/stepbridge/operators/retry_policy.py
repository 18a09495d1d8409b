"""Airflow's retry policy for a model's tasks: by what failed, as ``core.failures`` says.

A policy can refuse a retry or put it off; the card's ``retries`` limit how many there are.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Self

from airflow.sdk import Context, RetryDecision, RetryPolicy

from stepbridge.core import failures
from stepbridge.core.failures import Retry
from stepbridge.core.run_report.failure_text import ExecutionFailedError

RETRY_LATER: Final = timedelta(seconds=failures.RETRY_LATER_SECONDS)


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
        """What Airflow does about the failure."""
        return decide(exception)

    def serialize(self) -> dict[str, Any]:
        """The policy has no settings."""
        return {"__type": "ModelRetryPolicy"}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> Self:  # noqa: ARG003
        return cls()


def decide(exception: BaseException) -> RetryDecision:
    """What is done about a failure, and why."""
    row: failures.ExecutionFailure | failures.TaskError | None
    if isinstance(exception, ExecutionFailedError):
        row = failures.execution_failure(exception.status, exception.error, exception.text)
        name, what = exception.error or exception.status, "the stages that finished are kept, the rest is"
    else:
        row = failures.task_error(exception)
        name, what = type(exception).__name__, "it is"
    if row is None or row.retry is Retry.AS_SET:
        return RetryDecision.default()
    if row.retry is Retry.LATER:
        return RetryDecision.retry(RETRY_LATER, f"{name}: {what} tried again in {RETRY_LATER}")
    return RetryDecision.fail(f"{name}: {row.why}")
