"""Stops the execution that a killed try of start_execution has started."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from airflow.sdk.exceptions import AirflowTaskTimeout

from stepbridge.core.failures import KILLED
from stepbridge.errors import AlreadyExistsError, NotFoundError, NotRedrivableError
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

    @contextmanager
    def starting(self, hook: StepbridgeHook, arn: str, task_instance: str) -> Iterator[None]:
        """For a start or redrive. Raises StartKilledError after a kill, once what was started nevertheless is stopped.

        A kill may come before AWS answers, so the execution counts as started from before the call until AWS refuses.
        """
        self._started = (arn, task_instance)
        self._raise_if_killed(hook, arn, task_instance)
        try:
            yield
        except (AlreadyExistsError, NotRedrivableError):
            self._started = None
            raise
        self._raise_if_killed(hook, arn, task_instance)

    def _raise_if_killed(self, hook: StepbridgeHook, arn: str, task_instance: str) -> None:
        if self._killed:
            self._stop(hook, arn, task_instance, STOP_TIMEOUT_SECONDS)
            raise StartKilledError(arn, f"{task_instance} was killed, so its execution was not left running")

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
