"""Decides whether a fault hits a candidate: always, at a rate, or the next N times. A seed makes it repeatable."""

from __future__ import annotations

import random
import threading

__all__ = ["Chance"]


class Chance:
    """Decides for one candidate (request or job) after the other. Thread safe.

    With a ``seed`` the answer for the n-th candidate is the same whenever the fault is set again; which request is the
    n-th depends on the clients. After ``times`` hits it hits no more; None: no limit.
    """

    def __init__(self, rate: float = 1.0, times: int | None = None, seed: int | None = None) -> None:
        self._rate = rate
        self._times = times
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self.candidates = 0
        self.strikes = 0

    @property
    def is_over(self) -> bool:
        """Whether it will hit no more."""
        return self._times is not None and self.strikes >= self._times

    def strike(self) -> bool:
        """Whether the next candidate is hit."""
        with self._lock:
            if self.is_over:
                return False
            self.candidates += 1
            struck = self._random.random() < self._rate
            self.strikes += struck
            return struck

    def spread(self, width: float) -> float:
        """A number from 0 to ``width``, by the same seed."""
        with self._lock:
            return self._random.random() * width
