"""The errors of the operators."""

from __future__ import annotations

from airflow.sdk.exceptions import AirflowFailException

from stepbridge.errors import StepbridgeError


class InputNotFoundError(StepbridgeError, AirflowFailException):
    """There is no input, so nothing was started. Airflow does not retry it: only new data would help."""


class TasksNotClearedError(StepbridgeError, AirflowFailException):
    """A task was cleared without others that have to run again with it. Airflow does not retry it: they stay as is."""


class StartKilledError(StepbridgeError):
    """The task was killed while it started an execution; what it had started was stopped."""
