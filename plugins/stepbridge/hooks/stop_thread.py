"""Stops something from within a signal handler, if its task was ended by somebody.

Airflow's task runner calls ``on_kill`` from its SIGTERM handler, wherever the main thread is. That code may hold a lock
which the stop needs: of the connection pool, of a client that is being made, or of the channel to Airflow's supervisor,
which is not reentrant. So the stop runs in a thread of its own, and the handler waits for it only for a limited time.
"""

import threading
from collections.abc import Callable
from typing import Final

from stepbridge.errors import AwsError

HANDLER_TIMEOUT_SECONDS: Final = 3.0
"""How long a signal handler waits for the stop: Airflow sends SIGKILL 5 s after SIGTERM."""

STOP_TIMEOUT_SECONDS: Final = 60.0
"""How long the interrupted code waits for the stop before it ends."""


class StopThread:
    """Calls ``reason``, and ``stop`` with what that returns; an empty text means that nothing is to be stopped."""

    def __init__(self, reason: Callable[[], str], stop: Callable[[str], None]) -> None:
        self._reason, self._stop = reason, stop
        self.killed = False
        """Whether there was a reason."""
        self._error: AwsError | None = None
        self._thread = threading.Thread(target=self._run, name="stepbridge-stop")
        self._thread.start()

    def wait(self, seconds: float = HANDLER_TIMEOUT_SECONDS) -> None:
        """Return when it is stopped or goes on, or after ``seconds``. Raises the ``AwsError`` of the stop."""
        self._thread.join(seconds)
        if self._error:
            raise self._error

    def _run(self) -> None:
        if reason := self._reason():
            self.killed = True
            try:
                self._stop(reason)
            except AwsError as error:
                self._error = error
