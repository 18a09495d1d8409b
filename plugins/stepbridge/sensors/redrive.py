"""Redrives a failed execution for a wait, so that stages which finished are not run again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stepbridge.aws.step_functions import Execution, StepFunctions
from stepbridge.core.start_decision import REDRIVABLE
from stepbridge.core.statuses import execution_status
from stepbridge.errors import NotRedrivableError
from stepbridge.hooks.task_instance import redrive_token
from stepbridge.triggers.stop_reasons import was_stopped_for_another_try

if TYPE_CHECKING:
    from airflow.sdk.types import Logger

__all__ = ["Redriver"]


class Redriver:
    """Redrives in the name of one ``task_instance``, as ``describe_task`` names it. Methods raise ``AwsError``."""

    def __init__(self, step_functions: StepFunctions, log: Logger, task_instance: str) -> None:
        self._step_functions = step_functions
        self._log = log
        self._task_instance = task_instance

    def after_retry(self, execution: Execution) -> Execution:
        """The execution of a task that is tried again: redriven if it failed and AWS can redrive it."""
        if not execution_status(execution.status).failed:
            return execution
        if execution.redrive_status != REDRIVABLE:
            reason = execution.redrive_status_reason or "the service gives no reason"
            self._log.warning("%s can't be redriven: %s; clear start_execution for a new one", execution.arn, reason)
            return execution
        return self._redrive(execution, "retry")

    def after_stop_for_another_try(self, execution: Execution, run_id: str) -> Execution:
        """The execution: redriven if it was stopped because an earlier try of a task of the run was ended."""
        error, cause = (str(execution.description.get(key, "")) for key in ("error", "cause"))
        if not was_stopped_for_another_try(error, cause, run_id, self._task_instance):
            return execution
        return self._redrive(execution, f"it was stopped for another try ({cause})")

    def _redrive(self, execution: Execution, why: str) -> Execution:
        try:
            at = self._step_functions.redrive(execution.arn, redrive_token(execution.arn, self._task_instance))
        except NotRedrivableError as error:
            self._log.warning("%s; clear start_execution for a new one", error)
            return execution
        self._log.info("%s: redriven at %s, the stages that finished are not run again", why, at)
        return self._step_functions.describe(execution.arn)
