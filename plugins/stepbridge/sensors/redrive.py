"""Redrives a failed execution for a wait, so that stages which finished are not run again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from airflow.sdk import Context

from stepbridge.aws.step_functions import Execution, StepFunctions
from stepbridge.core.failures import SUPERSEDED
from stepbridge.core.start_decision import CLEARED, REDRIVABLE
from stepbridge.core.statuses import execution_status
from stepbridge.errors import NotRedrivableError
from stepbridge.hooks.task_instance import describe_task, redrive_token, save_for_ever
from stepbridge.operators.run_tasks import RunTasks
from stepbridge.triggers.stop_reasons import was_stopped_for_another_try

if TYPE_CHECKING:
    from airflow.sdk.types import Logger

WAIT_KEY: Final = "stepbridge_wait"
"""In the wait's task state store: ``{"max_tries", "failed"}``; ``failed`` is which failure it has reported last."""


class Redriver:
    """For one try of one wait. Methods raise ``AwsError``.

    A failure is redriven once, by a retry or after a clear, and only if an earlier try of this wait has reported it.
    After a clear the files of the run have to be those that the execution has: a redrive runs the old ones.
    """

    def __init__(self, step_functions: StepFunctions, log: Logger, context: Context) -> None:
        self._step_functions = step_functions
        self._log = log
        self._context = context
        self._name = describe_task(context)
        record = context["task_state_store"].get(WAIT_KEY)
        self._record: dict[str, Any] | None = record if isinstance(record, dict) else None
        max_tries = context["ti"].max_tries
        self._cleared = self._record is not None and self._record["max_tries"] != max_tries
        self.is_first_try = context["ti"].try_number <= 1
        if self.is_first_try:
            self._save("")

    def at_begin(self, execution: Execution) -> Execution:
        """The execution as a try finds it: redriven if it failed, an earlier try has reported that, and AWS can.

        Raises TasksNotClearedError.
        """
        if self._stopped_for_another_try(execution):
            return self.after_stop_for_another_try(execution)
        # A wait that began under version 0.1.0 has no record; then an earlier try ended because of the failure.
        reported = self._record is None or self._record["failed"] == _failure(execution)
        if self.is_first_try or not execution_status(execution.status).failed or not reported:
            return execution
        return self._redrive(execution, "cleared" if self._cleared else "retry", check=self._cleared)

    def after_stop_for_another_try(self, execution: Execution) -> Execution:
        """The execution: redriven if it was stopped because an earlier try of a task of the run was ended."""
        if not self._stopped_for_another_try(execution):
            return execution
        why = f"it was stopped for another try ({execution.cause})"
        return self._redrive(execution, why, check=self._cleared or CLEARED in execution.cause)

    def reported(self, execution: Execution) -> None:
        """To be called before the end of the execution is reported."""
        if execution_status(execution.status).failed:
            self._save(_failure(execution))

    def _stopped_for_another_try(self, execution: Execution) -> bool:
        return was_stopped_for_another_try(execution.error, execution.cause, self._context["run_id"], self._name)

    def _redrive(self, execution: Execution, why: str, *, check: bool) -> Execution:
        if execution.error == SUPERSEDED:
            return execution
        used = (execution.input.get("custom_image_uri"), execution.input.get("code_uri"))
        tasks = RunTasks(self._context, str(execution.input.get("model") or ""))
        if check:
            tasks.require_unchanged(execution.arn, *used)
        if execution.redrive_status != REDRIVABLE:
            reason = execution.redrive_status_reason or "the service gives no reason"
            self._log.warning("%s can't be redriven: %s; %s", execution.arn, reason, tasks.advice())
            return execution
        try:
            at = self._step_functions.redrive(execution.arn, redrive_token(execution.arn, self._name))
        except NotRedrivableError as error:
            self._log.warning("%s; %s", error, tasks.advice())
            return execution
        reuse = tasks.reuse(*used)
        self._log.info("%s: redriven at %s, the stages that finished are not run again; %s", why, at, reuse)
        return self._step_functions.describe(execution.arn)

    def _save(self, failed: str) -> None:
        record = {"max_tries": self._context["ti"].max_tries, "failed": failed}
        if record != self._record:
            save_for_ever(self._context, WAIT_KEY, record)
            self._record = record


def _failure(execution: Execution) -> str:
    """Which failure of which execution this is: each redrive may end in another one."""
    return f"{execution.arn} {execution.description.get('redriveCount', 0)}"
