"""Carries out ``core.start_decision``: describes, starts, adopts or redrives until one execution runs or has ended."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from airflow.sdk import Context

from stepbridge.aws.arns import S3Uri, execution_arn
from stepbridge.core.execution_input import ExecutionInput
from stepbridge.core.failures import STOPPED
from stepbridge.core.names import execution_name
from stepbridge.core.start_decision import ABSENT, Adopt, Describe, Identity, Redrive, Snapshot, Start, next_step
from stepbridge.core.statuses import execution_status
from stepbridge.errors import AccessDeniedError, AlreadyExistsError, NotFoundError, NotRedrivableError
from stepbridge.hooks.task_instance import describe_task, record_execution, redrive_token
from stepbridge.operators.errors import InputNotFoundError
from stepbridge.operators.kill_guard import KillGuard

if TYPE_CHECKING:
    from airflow.sdk.types import Logger

    from stepbridge.hooks.stepbridge import StepbridgeHook

__all__ = ["ExecutionStarter", "StartState"]

DESCRIBE_CALLS: Final = 5
DESCRIBE_SECONDS: Final = 1.0

# In the task state stores of runs that began under earlier versions, like their values: they must not change.
CURRENT_KEY: Final = "stepbridge_standing"
REUSED_KEY: Final = "stepbridge_taken_up"


class StartState:
    """What a start knows beyond its own try: the names of its executions, and what earlier tries saved.

    Of one task instance and execution input. What is saved is kept over tries and clears; XComs are not.
    """

    def __init__(self, context: Context, model: str, input_digest: str) -> None:
        self.clear_number = context["dag_run"].clear_number or 0
        map_index = context["ti"].map_index
        self._instance = (model, context["run_id"], -1 if map_index is None else map_index)
        self._input_digest = input_digest
        self._store = context["task_state_store"]
        # One for each input: a user may change the input, and change it back, between two tries.
        self._reused_key = f"{REUSED_KEY}_{input_digest}"

    def name(self, at: Identity) -> str:
        """The name of the execution ``at``."""
        return execution_name(*self._instance, at.clear_number, at.attempt, self._input_digest)

    def current_arn(self) -> str | None:
        """The execution of the task instance, whatever its input."""
        value = self._store.get(CURRENT_KEY)
        return value if isinstance(value, str) else None

    def save_current(self, arn: str) -> None:
        """To be called before the execution is started, redriven or adopted."""
        self._store.set(CURRENT_KEY, arn)

    def reused(self) -> Identity | None:
        """The execution of an earlier clear that a try of this clear has begun to redrive or adopt."""
        value = self._store.get(self._reused_key) if self.clear_number else None
        if not isinstance(value, str):
            return None
        by_clear, clear_number, attempt = map(int, value.split())
        return Identity(clear_number, attempt) if by_clear == self.clear_number else None

    def save_reused(self, at: Identity) -> None:
        """To be called before the execution is redriven or adopted; does nothing for one of this clear."""
        if at.clear_number < self.clear_number:
            self._store.set(self._reused_key, f"{self.clear_number} {at.clear_number} {at.attempt}")


class ExecutionStarter:
    """For one try of one task instance. All methods raise ``AwsError``."""

    def __init__(
        self, hook: StepbridgeHook, log: Logger, guard: KillGuard, context: Context, machine_arn: str, state: StartState
    ) -> None:
        self._hook = hook
        self._step_functions = hook.step_functions
        self._log = log
        self._guard = guard
        self._context = context
        self._state_machine = machine_arn
        self._state = state
        self._current_arn = state.current_arn()

    def ensure_execution(self, execution_input: ExecutionInput) -> str:
        """The ARN of the run's execution. Raises InputNotFoundError before anything is started."""
        if self._current_arn:
            # Airflow deleted the last try's record; a kill may come before this try has written its own.
            self._record(self._current_arn)
        seen: dict[Identity, Snapshot] = {}
        while True:
            step = next_step(self._state.clear_number, seen, self._state.reused())
            name = self._state.name(step.at)
            arn = execution_arn(self._state_machine, name)
            match step:
                case Describe(at):
                    seen[at] = self._describe(arn)
                case Adopt(at):
                    self._state.save_reused(at)
                    self._make_current(arn)
                    self._log.info("%s is there already: waiting for it instead of paying twice", arn)
                    return arn
                case Redrive(at):
                    self._state.save_reused(at)
                    if self._redrive(arn):
                        return arn
                    seen[at] = Snapshot(seen[at].status, "NOT_REDRIVABLE")
                case Start(at):
                    self._require_input(execution_input.input_uri)
                    if self._start(name, arn, execution_input):
                        return arn
                    seen[at] = self._describe_existing(arn)

    def _require_input(self, uri: str) -> None:
        """Raises InputNotFoundError when there is nothing below ``uri``; not when it may not be listed."""
        try:
            if self._hook.s3.holds_objects(S3Uri.parse(uri)):
                return
        except AccessDeniedError as error:
            self._log.warning("whether there is input is not known, so the execution is started without: %s", error)
            return
        raise InputNotFoundError(
            f"input_uri {uri}",
            "there is no object whose key begins like that, so nothing was started",
            "at least one object, not counting folder markers",
            "put the data there or correct input_uri, then clear this task; a model whose data may come late waits "
            "for it with wait_for_input in its card",
        )

    def _describe(self, arn: str) -> Snapshot:
        try:
            execution = self._step_functions.describe(arn)
        except NotFoundError as error:
            if error.code == "ExecutionDoesNotExist":
                return ABSENT
            raise
        self._log.info("found %s: %s %s", arn, execution.status, execution.redrive_status_reason)
        return Snapshot(execution.status, execution.redrive_status)

    def _describe_existing(self, arn: str) -> Snapshot:
        """An execution whose name is in use exists, but DescribeExecution is eventually consistent."""
        for _ in range(DESCRIBE_CALLS):
            snapshot = self._describe(arn)
            if snapshot.exists:
                return snapshot
            time.sleep(DESCRIBE_SECONDS)
        raise NotFoundError(
            f"states:DescribeExecution on {arn}",
            f"its name is in use, but {DESCRIBE_CALLS} calls did not find it",
            "DescribeExecution to know what StartExecution knows",
            "run the task again",
        )

    def _start(self, name: str, arn: str, execution_input: ExecutionInput) -> bool:
        """Whether it was started, or runs with the same input already; False: an execution of that name has ended."""
        self._make_current(arn)
        try:
            with self._guard.starting(self._hook, arn, describe_task(self._context)):
                self._step_functions.start(self._state_machine, name, execution_input.to_json())
        except AlreadyExistsError:
            return False
        self._log.info("started %s with %s", name, execution_input.to_json())
        return True

    def _redrive(self, arn: str) -> bool:
        """Whether it was redriven; False: AWS refuses to."""
        task_instance = describe_task(self._context)
        self._make_current(arn)
        try:
            with self._guard.starting(self._hook, arn, task_instance):
                at = self._step_functions.redrive(arn, redrive_token(arn, task_instance))
        except NotRedrivableError as error:
            self._log.warning("%s", error)
            return False
        self._log.info("redriven at %s: the stages that finished are not run again", at)
        return True

    def _make_current(self, arn: str) -> None:
        """Record the execution that is about to be started or was found, and stop the one before it, if it still runs.

        There is one if the input has changed: else the run would pay for two executions and wait for one.
        """
        self._record(arn)
        if arn == self._current_arn:
            return
        if self._current_arn:
            self._supersede(self._current_arn, arn)
        self._state.save_current(arn)
        self._current_arn = arn

    def _record(self, arn: str) -> None:
        record_execution(self._context, arn, self._hook.aws_conn_id, self._hook.region_name)

    def _supersede(self, old: str, new: str) -> None:
        try:
            if execution_status(self._step_functions.describe(old).status).terminal:
                return
            cause = f"superseded by {new}, since the input has changed: {describe_task(self._context)}"
            self._log.warning("stopping %s: %s", old, cause)
            self._step_functions.stop(old, STOPPED, cause)
        except NotFoundError:
            self._log.info("%s was never started", old)
