"""Stops the execution that a worker's wait is for: past its deadline, or when the task is killed."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowTaskTimeout

from stepbridge.aws.step_functions import Execution
from stepbridge.core.failures import KILLED, STOPPED
from stepbridge.hooks.stop_thread import STOP_TIMEOUT_SECONDS, StopThread
from stepbridge.sensors.errors import WaitKilledError, WaitTimeoutError
from stepbridge.triggers.stop_reasons import kill_reason

if TYPE_CHECKING:
    from airflow.sdk.types import Logger

    from stepbridge.hooks.stepbridge import StepbridgeHook


class ExecutionStop:
    """Stops one execution; ``waiter`` is the task instance and model in whose name, ``instance`` Airflow's object."""

    def __init__(self, hook: StepbridgeHook, log: Logger, execution_arn: str, waiter: str, instance: Any) -> None:
        self._hook = hook
        self._log = log
        self._arn = execution_arn
        self._waiter = waiter
        self._instance = instance
        self._thread: StopThread | None = None

    @property
    def killed(self) -> bool:
        return self._thread is not None

    def seconds_left(self, execution: Execution, timeout_seconds: float) -> float:
        """Seconds to the deadline. Past it, stops the execution and raises WaitTimeoutError."""
        left = timeout_seconds - (datetime.now(UTC) - execution.latest_start).total_seconds()
        if left > 0:
            return left
        cause = self._cause(f"it did not end within {timeout_seconds} s")
        self._hook.step_functions.stop(self._arn, STOPPED, cause)
        raise WaitTimeoutError(
            f"{self._arn}: still {execution.status} {timeout_seconds} s after its start at "
            f"{execution.latest_start.isoformat()}, so it was stopped; raise the task's timeout if it needs longer"
        )

    def kill(self, execution_timeout: timedelta | None) -> None:
        """Stop the execution from within ``on_kill``: past ``execution_timeout``, or on SIGTERM if somebody ended the
        task. SIGTERM for a worker that is drained stops nothing."""
        timed_out = isinstance(sys.exc_info()[1], AirflowTaskTimeout)

        def stop(why: str) -> None:
            text = f"past its execution_timeout of {execution_timeout}" if timed_out else f"killed in the worker: {why}"
            self._hook.clone().step_functions.stop(self._arn, STOPPED if timed_out else KILLED, self._cause(text))

        self._thread = StopThread(kill_reason(self._instance), stop)
        self._thread.wait()

    def raise_if_killed(self) -> None:
        """Raises WaitKilledError once a kill's stop is done, and the ``AwsError`` that it ended with."""
        if self._thread is None:
            return
        self._thread.wait(STOP_TIMEOUT_SECONDS)
        if self._thread.killed:
            raise WaitKilledError(self._arn, "this task was killed, so the execution was stopped")
        self._thread = None
        self._log.warning("the worker was told to end; %s goes on, and a later try waits for it", self._arn)

    def _cause(self, why: str) -> str:
        cause = f"{why}: {self._waiter}"
        self._log.warning("stopping %s: %s", self._arn, cause)
        return cause
