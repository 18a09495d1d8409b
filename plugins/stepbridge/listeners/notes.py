"""What listeners were told, kept until it is time to look at it, and the one thread that does.

The thread is there only while there are notes. Adding one costs the caller a lock and a heap; nothing of it reaches a
database or AWS.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from stepbridge.listeners.verdict import Ended

__all__ = ["GRACE_SECONDS", "NOTES", "Notes"]

log = logging.getLogger(__name__)

GRACE_SECONDS: Final = 8.0
"""How long a worker or triggerer gets to stop an execution by itself, and the caller to commit what it did."""

LIMIT: Final = 10_000
TRIES: Final = 6
LONGEST_PAUSE_SECONDS: Final = 60.0


class Notes:
    """Hands each note to ``look`` once ``grace_seconds`` are over, from one daemon thread.

    ``look`` returns whether it is done with it; if not it is asked again, ``TRIES`` times in all, later each time.
    """

    def __init__(self, look: Callable[[Ended], bool], grace_seconds: float = GRACE_SECONDS) -> None:
        self._look = look
        self._grace_seconds = grace_seconds
        self._changed = threading.Condition()
        self._due: list[tuple[float, int, int, Ended]] = []
        self._numbers = itertools.count()
        self._thread: threading.Thread | None = None

    def add(self, ended: Ended) -> None:
        """Note it. Beyond ``LIMIT`` notes it is logged as an error instead."""
        with self._changed:
            if len(self._due) >= LIMIT:
                log.error("%s is not looked at: %d ends are waiting already; stop what runs on by hand", ended, LIMIT)
                return
            self._put(ended, self._grace_seconds, 1)
            self._attend()
            self._changed.notify()

    def _attend(self) -> None:
        """See to it that there is a thread; a fork of the process has none of its parent's."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name="stepbridge-ends", daemon=True)
            self._thread.start()

    def _put(self, ended: Ended, seconds: float, number_of_try: int) -> None:
        heapq.heappush(self._due, (time.monotonic() + seconds, next(self._numbers), number_of_try, ended))

    def _run(self) -> None:
        try:
            while due := self._next():
                self._looked(*due)
        finally:
            with self._changed:
                if self._thread is threading.current_thread():
                    self._thread = None
                if self._due:  # an error that nobody foresaw ends this thread, not what else is waiting
                    self._attend()

    def _looked(self, ended: Ended, number_of_try: int) -> None:
        if self._look(ended):
            return
        if number_of_try == TRIES:
            log.error("%s: given up after %d looks; stop what runs on by hand", ended, TRIES)
            return
        with self._changed:
            self._put(ended, min(2.0**number_of_try, LONGEST_PAUSE_SECONDS), number_of_try + 1)

    def _next(self) -> tuple[Ended, int] | None:
        """The next note, when it is due, and how often it was looked at with this look; None when there are no more."""
        with self._changed:
            while self._due:
                seconds = self._due[0][0] - time.monotonic()
                if seconds <= 0:
                    _, _, number_of_try, ended = heapq.heappop(self._due)
                    return ended, number_of_try
                self._changed.wait(seconds)
            self._thread = None  # under the lock: whoever adds a note now needs another one
            return None


def _look(ended: Ended) -> bool:
    from stepbridge.listeners.stopping import look_at  # here, so that a worker which notes nothing imports none of it

    return look_at(ended)


NOTES: Final = Notes(_look)
"""The notes of this process."""
