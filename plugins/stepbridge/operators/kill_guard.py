"""Stops the execution that a killed try of start_execution has started."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from airflow.sdk.exceptions import AirflowTaskTimeout

from stepbridge.core.failures import KILLED
from stepbridge.errors import NotFoundError
from stepbridge.hooks.stop_thread import HANDLER_TIMEOUT_SECONDS, STOP_TIMEOUT_SECONDS, StopThread
from stepbridge.operators.errors import StartKilledError

if TYPE_CHECKING:
    from stepbridge.hooks.stepbridge import StepbridgeHook

__all__ = ["KillGuard"]


class KillGuard:
    """Knows what this try has started or redriven, and whether it was killed; an adopted execution is not stopped.

    Airflow calls ``on_kill`` on SIGTERM, wherever the main thread is, and then lets that go on: a start that was under
    way is stopped once it is done. What was started stays this try's own until its process ends, since a task can be
    marked as failed between the start and Airflow's learning that it succeeded.
    """

    def __init__(self) -> None:
        self._started: tuple[str, str] | None = None
        self._killed = False

    def before_start(self, hook: StepbridgeHook, arn: str, task_instance: str) -> None:
        """To be called before the start or redrive: a kill may come before its answer. Raises StartKilledError."""
        self._started = (arn, task_instance)
        self.raise_if_killed(hook)

    def not_started(self) -> None:
        """AWS refused the start or redrive."""
        self._started = None

    def raise_if_killed(self, hook: StepbridgeHook) -> None:
        """Raises StartKilledError after a kill, once what was started nevertheless is stopped."""
        if self._killed:
            arn, name = self._started or ("no execution", "this task")
            if self._started:
                self._stop(hook, arn, name, STOP_TIMEOUT_SECONDS)
            raise StartKilledError(arn, f"{name} was killed, so its execution was not left running")

    def kill(self, hook: Callable[[], StepbridgeHook]) -> None:
        """To be called by ``on_kill``; ``hook`` is called only if there is an execution to stop."""
        self._killed = True
        if self._started:
            self._stop(hook(), *self._started, HANDLER_TIMEOUT_SECONDS)

    def _stop(self, hook: StepbridgeHook, arn: str, task_instance: str, seconds: float) -> None:
        why = "past its execution_timeout" if isinstance(sys.exc_info()[1], AirflowTaskTimeout) else "by SIGTERM"
        cause = f"killed in the worker, {why}: {task_instance}"
        hook.log.warning("stopping %s: %s", arn, cause)
        try:
            StopThread(hook, arn, KILLED, cause).wait(seconds)
        except NotFoundError:
            hook.log.info("there was nothing to stop: the kill came before the call that starts it")
