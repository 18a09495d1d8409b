"""The errors of the sensors."""

from airflow.sdk.exceptions import AirflowFailException, AirflowSensorTimeout

from stepbridge.core.run_report.failure_text import without_log
from stepbridge.errors import StepbridgeError


class EmptyOutputError(StepbridgeError, AirflowFailException):
    """The execution succeeded and wrote nothing. Airflow does not retry it: it would be the same again.

    The text ends with ``details``: what is known of the job's folders, its last log lines, links, and what to do.
    """

    details: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "\n".join([super().summary, *self.details])

    @property
    def summary(self) -> str:
        return without_log(str(self))


class InputCheckError(StepbridgeError, AirflowFailException):
    """The input can't be listed, and waiting will not change that. Airflow does not retry it."""


class WatchError(StepbridgeError):
    """The execution can't be watched any longer; it keeps running."""


class WaitKilledError(StepbridgeError):
    """The task was killed in its worker, and the execution was stopped."""


class WaitTimeoutError(AirflowSensorTimeout):
    """The wait's deadline passed, and the execution was stopped. Airflow does not retry a sensor's timeout."""
