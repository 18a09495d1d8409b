"""How waiting for an execution can end badly."""

from __future__ import annotations

from airflow.sdk.exceptions import AirflowFailException, AirflowSensorTimeout

from stepbridge.errors import StepbridgeError

__all__ = ["ExecutionFailed", "InputUnseen", "WaitKilled", "WaitTimedOut", "WatchFailed"]


class ExecutionFailed(StepbridgeError):
    """The execution ended without success. The text is ``core.run_report.failure_text``.

    ``error`` is Step Functions' name of what it failed with: for a job the prefix of its failure reason, such as
    AlgorithmError; empty when it has none.
    """

    def __init__(self, execution_arn: str, status: str, text: str, error: str = "") -> None:
        super().__init__(execution_arn, status)
        self.args = (execution_arn, status, text, error)  # what pickle hands to __init__
        self.execution_arn = execution_arn
        self.status = status
        self.text = text
        self.error = error

    def __str__(self) -> str:
        return self.text


class InputUnseen(StepbridgeError, AirflowFailException):
    """Whether there is input can't be found out, and will not be by waiting. Airflow does not retry it."""


class WatchFailed(StepbridgeError):
    """The execution can't be watched any longer; it goes on by itself."""


class WaitKilled(StepbridgeError):
    """The task was killed in its worker, and the execution was stopped."""


class WaitTimedOut(AirflowSensorTimeout):
    """The wait's deadline passed, and the execution was stopped. Airflow does not retry a sensor's timeout."""
