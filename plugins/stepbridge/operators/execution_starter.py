"""Carries out ``core.start_decision``: describes, starts, adopts or redrives until one execution runs or has ended."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Any, Final

from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowFailException

from stepbridge import errors
from stepbridge.aws.arns import S3Uri, execution_arn
from stepbridge.core.execution_input import ExecutionInput, parse_execution_input
from stepbridge.core.failures import SUPERSEDED
from stepbridge.core.names import EXECUTION_TOKEN_BYTES, execution_name
from stepbridge.core.start_decision import Snapshot, Step, next_step
from stepbridge.hooks.task_instance import describe_task, record_execution, redrive_token, save_for_ever
from stepbridge.operators.kill_guard import KillGuard
from stepbridge.operators.run_tasks import RunTasks

if TYPE_CHECKING:
    from airflow.sdk.types import Logger

    from stepbridge.hooks.stepbridge import StepbridgeHook

DESCRIBE_CALLS: Final = 5
DESCRIBE_SECONDS: Final = 1.0

# In the task state stores of runs: they must not change.
START_KEY: Final = "stepbridge_start"
CURRENT_KEY_0_1: Final = "stepbridge_standing"
"""Where version 0.1.0 kept the ARN of the task instance's execution."""


class InputNotFoundError(errors.StepbridgeError, AirflowFailException):
    """There is no input, so nothing was started. Airflow does not retry it: only new data would help."""


class StartState:
    """The latest execution of one task instance, kept over tries and clears; XComs are not."""

    def __init__(self, context: Context, model: str) -> None:
        self._context = context
        self._instance = (model, context["run_id"])
        self._max_tries = context["ti"].max_tries
        record = context["task_state_store"].get(START_KEY)
        known: dict[str, Any] = record if isinstance(record, dict) else self._record_of_0_1(context)
        self.token: str = known.get("token") or secrets.token_hex(EXECUTION_TOKEN_BYTES)
        self._number: int = known.get("number", 0)
        self.arn: str = known.get("execution_arn", "")
        self.name: str = self.arn.rpartition(":")[2] or execution_name(*self._instance, self.token, self._number)
        self.cleared = known.get("max_tries", self._max_tries) != self._max_tries
        """Whether the task was cleared since it saved this: a clear sets its ``max_tries`` anew, a retry does not."""

    def _record_of_0_1(self, context: Context) -> dict[str, Any]:
        """The same of a run that began under version 0.1.0, whose tries since the last clear only Airflow has."""
        arn = context["task_state_store"].get(CURRENT_KEY_0_1)
        if not isinstance(arn, str):
            return {}
        is_retry = context["ti"].try_number > self._max_tries - (context["task"].retries or 0) + 1
        return {"execution_arn": arn, "number": -1, "max_tries": self._max_tries if is_retry else None}

    def save(self, arn: str) -> None:
        """To be called before the execution is started."""
        self.arn, self.cleared = arn, False  # from now on it is of this clear
        record = {"token": self.token, "number": self._number, "execution_arn": arn, "max_tries": self._max_tries}
        save_for_ever(self._context, START_KEY, record)

    def next_number(self) -> None:
        """The name is another execution's from now on."""
        self._number += 1
        self.name = execution_name(*self._instance, self.token, self._number)


class ExecutionStarter:
    """For one try of one task instance. All methods raise ``AwsError``."""

    def __init__(
        self, hook: StepbridgeHook, log: Logger, guard: KillGuard, context: Context, machine_arn: str, model: str
    ) -> None:
        self._hook = hook
        self._step_functions = hook.step_functions
        self._log = log
        self._guard = guard
        self._context = context
        self._state_machine = machine_arn
        self._state = StartState(context, model)
        self._tasks = RunTasks(context, model)
        self._used: tuple[str | None, ...] = ()

    def ensure_execution(self, execution_input: ExecutionInput) -> str:
        """The ARN of the run's execution.

        Raises InputNotFoundError and TasksNotClearedError before anything is started or stopped.
        """
        state, found = self._state, None
        self._used = (execution_input.custom_image_uri, execution_input.code_uri)
        if state.arn:
            # Airflow deleted the last try's record; a kill may come before this try has written its own.
            self._record(state.arn)
            found = self._describe(state.arn, execution_input)
        while True:
            step = next_step(found, cleared=state.cleared)
            if found is None:
                if self._start(execution_input):
                    break
                found = self._describe_existing(state.arn, execution_input)
            elif step is Step.ADOPT:
                reuse = self._tasks.reuse(*self._used)
                self._log.info("%s is there already: waiting for it instead of paying twice; %s", state.arn, reuse)
                break
            elif step is Step.REPORT:
                self._log.info("%s failed, and would fail again: its wait reports it", state.arn)
                break
            elif step is Step.REDRIVE and self._redrive(state.arn):
                break
            else:
                self._replace(step, found, execution_input)
                found = None
        return state.arn

    def _replace(self, step: Step, found: Snapshot, execution_input: ExecutionInput) -> None:
        """Make room for another execution: else the run would pay for two and wait for one."""
        self._require_input(execution_input.input_uri)
        arn = self._state.arn
        if step is Step.START_ANEW:
            self._tasks.require_unchanged(arn, *self._used)
        elif changed := self._state.cleared and self._tasks.changed(*self._used):
            self._log.warning(
                "the new execution has what %s brought; the files have changed since", " and ".join(changed)
            )
        if self._state.cleared and not found.running:
            self._tasks.require_waits(arn)
        if found.running:
            why = "start_execution was cleared" if self._state.cleared else "its input has changed"
            cause = f"another execution takes its place, since {why}: {describe_task(self._context)}"
            self._log.warning("stopping %s: %s", arn, cause)
            self._step_functions.stop(arn, SUPERSEDED, cause)
        self._state.next_number()

    def _require_input(self, uri: str) -> None:
        """Raises InputNotFoundError when there is nothing below ``uri``; not when it may not be listed."""
        try:
            if self._hook.s3.holds_objects(S3Uri.parse(uri)):
                return
        except errors.AccessDeniedError as error:
            self._log.warning("whether there is input is not known, so the execution is started without: %s", error)
            return
        raise InputNotFoundError(
            f"input_uri {uri}",
            "there is no object whose key begins like that, so nothing was started",
            "at least one object, not counting folder markers",
            "put the data there or correct input_uri, then clear start_execution and the tasks after it; a model whose "
            "data may come late waits for it with wait_for_input in its card",
        )

    def _describe(self, arn: str, execution_input: ExecutionInput) -> Snapshot | None:
        """The execution; None when there is none."""
        try:
            execution = self._step_functions.describe(arn)
        except errors.NotFoundError as error:
            if error.code == "ExecutionDoesNotExist":
                return None
            raise
        self._log.info("found %s: %s", arn, execution.status)
        try:
            same = parse_execution_input(execution.input, arn).digest() == execution_input.digest()
        except errors.ExecutionInputError:
            same = False
        return Snapshot(execution.status, execution.error, execution.cause, execution.redrive_status, same)

    def _describe_existing(self, arn: str, execution_input: ExecutionInput) -> Snapshot:
        """An execution whose name is in use exists, but DescribeExecution is eventually consistent."""
        for _ in range(DESCRIBE_CALLS):
            if snapshot := self._describe(arn, execution_input):
                return snapshot
            time.sleep(DESCRIBE_SECONDS)
        raise errors.NotFoundError(
            f"states:DescribeExecution on {arn}",
            f"its name is in use, but {DESCRIBE_CALLS} calls did not find it",
            "DescribeExecution to know what StartExecution knows",
            "clear start_execution and the tasks after it, if no retry is left",
        )

    def _start(self, execution_input: ExecutionInput) -> bool:
        """Whether it was started, or runs with the same input already; False: an execution of that name has ended."""
        name = self._state.name
        arn = execution_arn(self._state_machine, name)
        self._state.save(arn)
        self._require_input(execution_input.input_uri)
        self._record(arn)
        try:
            with self._guard.starting(self._hook, arn, self._context["ti"]):
                self._step_functions.start(self._state_machine, name, execution_input.to_json())
        except errors.AlreadyExistsError:
            return False
        self._log.info("started %s with %s", name, execution_input.to_json())
        return True

    def _redrive(self, arn: str) -> bool:
        """Whether it was redriven; False: AWS refuses to."""
        try:
            with self._guard.starting(self._hook, arn, self._context["ti"]):
                at = self._step_functions.redrive(arn, redrive_token(arn, describe_task(self._context)))
        except errors.NotRedrivableError as error:
            self._log.warning("%s", error)
            return False
        reuse = self._tasks.reuse(*self._used)
        self._log.info("redriven at %s: the stages that finished are not run again; %s", at, reuse)
        return True

    def _record(self, arn: str) -> None:
        record_execution(self._context, arn, self._hook.aws_conn_id, self._hook.region_name)
