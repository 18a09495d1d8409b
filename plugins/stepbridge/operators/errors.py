"""How an operator's work can end badly."""

from __future__ import annotations

from airflow.sdk.exceptions import AirflowFailException

from stepbridge.errors import StepbridgeError

__all__ = ["InputNotFoundError", "StartKilledError"]


class InputNotFoundError(StepbridgeError, AirflowFailException):
    """There is no input, so nothing was started. Airflow does not retry it: only new data changes it."""


class StartKilledError(StepbridgeError):
    """The task was killed while it started an execution; none of its making runs on."""
