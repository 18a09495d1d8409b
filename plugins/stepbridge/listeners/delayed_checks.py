"""Notices of ended tasks and runs, kept until they are due, and the one thread that checks them.

The thread exists only while notices wait. Adding one costs the caller a lock and a heap operation; the caller touches
neither a database nor AWS.
"""

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from stepbridge.listeners.stop_decision import EndNotice

log = logging.getLogger(__name__)

GRACE_SECONDS: Final = 8.0
"""The time in which a worker or triggerer may stop the execution itself, and the caller commits its change."""

LIMIT: Final = 10_000
CHECKS_PER_NOTICE: Final = 6
LONGEST_PAUSE_SECONDS: Final = 60.0


class DelayedChecks:
    """Calls ``check`` with each notice after ``grace_seconds``, in one daemon thread.

    ``check`` returns whether it is done; if not, it is called again, ``CHECKS_PER_NOTICE`` times in all, with growing
    pauses.
    """

    def __init__(self, check: Callable[[EndNotice], bool], grace_seconds: float = GRACE_SECONDS) -> None:
        self._check = check
        self._grace_seconds = grace_seconds
        self._changed = threading.Condition()
        self._due: list[tuple[float, int, int, EndNotice]] = []
        self._numbers = itertools.count()
        self._thread: threading.Thread | None = None

    def add(self, notice: EndNotice) -> None:
        """Queue the notice. Beyond ``LIMIT`` notices it is logged as an error instead."""
        with self._changed:
            if len(self._due) >= LIMIT:
                log.error("%s is not checked: %d notices wait already; stop what still runs by hand", notice, LIMIT)
                return
            self._put(notice, self._grace_seconds, 1)
            self._ensure_thread()
            self._changed.notify()

    def _ensure_thread(self) -> None:
        """Start the thread if it does not run; a forked process has none of its parent's threads."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name="stepbridge-checks", daemon=True)
            self._thread.start()

    def _put(self, notice: EndNotice, seconds: float, check_number: int) -> None:
        heapq.heappush(self._due, (time.monotonic() + seconds, next(self._numbers), check_number, notice))

    def _run(self) -> None:
        try:
            while due := self._next():
                self._check_now(*due)
        finally:
            with self._changed:
                if self._thread is threading.current_thread():
                    self._thread = None
                if self._due:  # an unforeseen error ends this thread, but not the other checks
                    self._ensure_thread()

    def _check_now(self, notice: EndNotice, check_number: int) -> None:
        if self._check(notice):
            return
        if check_number == CHECKS_PER_NOTICE:
            log.error("%s: given up after %d checks; stop what still runs by hand", notice, CHECKS_PER_NOTICE)
            return
        with self._changed:
            self._put(notice, min(2.0**check_number, LONGEST_PAUSE_SECONDS), check_number + 1)

    def _next(self) -> tuple[EndNotice, int] | None:
        """The next notice, once it is due, and which check of it this is; None when none is left."""
        with self._changed:
            while self._due:
                seconds = self._due[0][0] - time.monotonic()
                if seconds <= 0:
                    _, _, check_number, notice = heapq.heappop(self._due)
                    return notice, check_number
                self._changed.wait(seconds)
            self._thread = None  # under the lock: the next notice starts another thread
            return None
