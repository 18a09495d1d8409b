"""Stops an execution from within a signal handler.

Airflow's task runner calls ``on_kill`` from its SIGTERM handler, wherever the main thread is. That code may hold a lock
which the stop needs: of the connection pool, of a client that is being made, or of the channel to Airflow's supervisor,
which is not reentrant. So the stop runs in a thread of its own, and the handler waits for it only for a limited time.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from stepbridge.errors import AwsError

if TYPE_CHECKING:
    from stepbridge.hooks.stepbridge import StepbridgeHook

__all__ = ["HANDLER_TIMEOUT_SECONDS", "STOP_TIMEOUT_SECONDS", "StopThread"]

HANDLER_TIMEOUT_SECONDS: Final = 3.0
"""How long a signal handler waits for the stop: Airflow sends SIGKILL 5 s after SIGTERM."""

STOP_TIMEOUT_SECONDS: Final = 60.0
"""How long the interrupted code waits for the stop before it ends."""


class StopThread:
    """Stops one execution, once, through a session of its own."""

    def __init__(self, hook: StepbridgeHook, execution_arn: str, error: str, cause: str) -> None:
        self._hook = hook
        self._call = (execution_arn, error, cause)
        self._error: AwsError | None = None
        self._thread = threading.Thread(target=self._stop, name="stepbridge-stop")
        self._thread.start()

    def wait(self, seconds: float = HANDLER_TIMEOUT_SECONDS) -> None:
        """Return when the execution is stopped, or after ``seconds``. Raises the ``AwsError`` of the stop."""
        self._thread.join(seconds)
        if self._error:
            raise self._error

    def _stop(self) -> None:
        try:
            self._hook.clone().step_functions.stop(*self._call)
        except AwsError as error:
            self._error = error
