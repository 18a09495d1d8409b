"""The errors of the sensors."""

from airflow.sdk.exceptions import AirflowFailException, AirflowSensorTimeout

from stepbridge.core.run_report.failure_text import without_log
from stepbridge.errors import StepbridgeError


class ExecutionFailedError(StepbridgeError):
    """The execution failed. The text is ``core.run_report.failure_text``'s.

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

    @property
    def summary(self) -> str:
        return without_log(self.text)


class EmptyOutputError(StepbridgeError, AirflowFailException):
    """The execution succeeded and wrote nothing. Airflow does not retry it: it would be the same again.

    The text ends with ``details``: what is known of the job's folders, its last log lines, and links.
    """

    details: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "\n".join([self.summary, *self.details])


class InputCheckError(StepbridgeError, AirflowFailException):
    """The input can't be listed, and waiting will not change that. Airflow does not retry it."""


class WatchError(StepbridgeError):
    """The execution can't be watched any longer; it keeps running."""


class WaitKilledError(StepbridgeError):
    """The task was killed in its worker, and the execution was stopped."""


class WaitTimeoutError(AirflowSensorTimeout):
    """The wait's deadline passed, and the execution was stopped. Airflow does not retry a sensor's timeout."""
