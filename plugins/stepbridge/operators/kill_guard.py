"""Stops the execution that a killed try of start_execution has started."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from stepbridge.core.failures import KILLED
from stepbridge.errors import AlreadyExistsError, NotFoundError, NotRedrivableError, StepbridgeError
from stepbridge.hooks.stop_thread import HANDLER_TIMEOUT_SECONDS, STOP_TIMEOUT_SECONDS, StopThread
from stepbridge.hooks.task_instance import describe_instance
from stepbridge.triggers.stop_reasons import kill_reason

if TYPE_CHECKING:
    from stepbridge.hooks.stepbridge import StepbridgeHook


class StartKilledError(StepbridgeError):
    """The task was killed while it started an execution; what it had started was stopped."""


class KillGuard:
    """Knows what this try has started or redriven, and whether it was killed; an adopted execution is not stopped.

    Airflow calls ``on_kill`` on SIGTERM, wherever the main thread is, and then lets that go on: a start that was under
    way is stopped once it is done. What was started stays this try's own until its process ends, since a task can be
    marked as failed between the start and Airflow's learning that it succeeded. SIGTERM for a drained worker stops
    nothing (``triggers.stop_reasons``).
    """

    def __init__(self) -> None:
        self._started: tuple[str, Any] | None = None
        self._signalled = False

    @contextmanager
    def starting(self, hook: StepbridgeHook, arn: str, task_instance: Any) -> Iterator[None]:
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

    def _raise_if_killed(self, hook: StepbridgeHook, arn: str, task_instance: Any) -> None:
        if self._signalled and self._stopped(hook, arn, task_instance, STOP_TIMEOUT_SECONDS):
            why = f"{describe_instance(task_instance)} was killed, so its execution was not left running"
            raise StartKilledError(arn, why)
        self._signalled = False

    def kill(self, hook: Callable[[], StepbridgeHook]) -> None:
        """To be called by ``on_kill``; ``hook`` is called only if there is an execution to stop."""
        self._signalled = True
        if self._started:
            self._stopped(hook(), *self._started, HANDLER_TIMEOUT_SECONDS)

    def _stopped(self, hook: StepbridgeHook, arn: str, task_instance: Any, seconds: float) -> bool:
        """Whether somebody has ended the task, so that the execution is stopped; waits ``seconds`` at most."""

        def stop(why: str) -> None:
            cause = f"{describe_instance(task_instance)} was killed in the worker: {why}"
            hook.log.warning("stopping %s: %s", arn, cause)
            hook.clone().step_functions.stop(arn, KILLED, cause)

        thread = StopThread(kill_reason(task_instance), stop)
        try:
            thread.wait(seconds)
        except NotFoundError:
            hook.log.info("there was nothing to stop: the kill came before the call that starts it")
        return thread.killed
