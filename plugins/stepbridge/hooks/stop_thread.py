"""A stop from within a signal handler.

Airflow's task runner calls ``on_kill`` from its handler of SIGTERM, in the middle of whatever the main thread does, and
that may hold a lock that the stop needs: of the connection pool, of the channel to Airflow's supervisor (which is not
reentrant, so that the handler would wait for ever), of a client that is being made. A thread of its own waits for it
no longer than the handler takes.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from stepbridge.errors import AwsError

if TYPE_CHECKING:
    from stepbridge.hooks.stepbridge import StepbridgeHook

__all__ = ["HANDLER_TIMEOUT_SECONDS", "STOP_TIMEOUT_SECONDS", "StopThread"]

HANDLER_TIMEOUT_SECONDS: Final = 3.0
"""How long a handler waits for the stop: Airflow sends SIGKILL 5 s after SIGTERM."""

STOP_TIMEOUT_SECONDS: Final = 60.0
"""How long what was interrupted waits for the stop afterwards, before it ends."""


class StopThread:
    """Stops one execution, once, through a session of its own."""

    def __init__(self, hook: StepbridgeHook, execution_arn: str, error: str, cause: str) -> None:
        self._hook = hook
        self._call = (execution_arn, error, cause)
        self._fault: AwsError | None = None
        self._thread = threading.Thread(target=self._stop, name="stepbridge-kill")
        self._thread.start()

    def done(self, seconds: float = HANDLER_TIMEOUT_SECONDS) -> bool:
        """Whether it is done within ``seconds``. Raises the ``AwsError`` that it ended with."""
        self._thread.join(seconds)
        if self._fault:
            raise self._fault
        return not self._thread.is_alive()

    def _stop(self) -> None:
        try:
            self._hook.apart().step_functions.stop(*self._call)
        except AwsError as fault:
            self._fault = fault
