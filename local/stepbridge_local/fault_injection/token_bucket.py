"""Token buckets, as AWS throttles: full at first, then refilled at a constant rate."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from time import monotonic

__all__ = ["Buckets", "Rate"]


@dataclass(frozen=True)
class Rate:
    """``bucket`` requests at once, then ``refill_per_second`` requests a second."""

    bucket: int
    refill_per_second: float


@dataclass
class _Bucket:
    tokens: float
    filled_at: float


class Buckets:
    """One bucket for each key; thread safe. ``clock`` gives seconds that never run backwards."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._buckets: dict[Hashable, _Bucket] = {}

    def take(self, key: Hashable, rate: Rate) -> bool:
        """Take one token from the key's bucket; False when there is none, which takes nothing."""
        with self._lock:
            now = self._clock()
            bucket = self._buckets.setdefault(key, _Bucket(rate.bucket, now))
            added = (now - bucket.filled_at) * rate.refill_per_second
            bucket.tokens = min(float(rate.bucket), bucket.tokens + added)
            bucket.filled_at = now
            if bucket.tokens < 1:
                return False
            bucket.tokens -= 1
            return True
