"""A seeded sequence of SIGKILLs, one every so many seconds."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.chaos.components import Components

__all__ = ["Kills"]

VICTIMS = ("worker", "task", "triggerer", "scheduler", "worker", "task", "scheduler with its workers", "triggerer")


@dataclass
class Kills:
    """Kills one victim after another, in an order that the seed shuffles anew for every round of them."""

    components: Components
    seed: int
    seconds_between: float
    killed: Counter[str] = field(default_factory=Counter)
    _round: list[str] = field(default_factory=list)
    _next: float = 0.0

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._next = time.monotonic() + self.seconds_between

    def kill_when_due(self) -> None:
        """Kill the next victim if its time has come and such a process runs."""
        if time.monotonic() < self._next:
            return
        if not self._round:
            self._round = list(VICTIMS)
            self._random.shuffle(self._round)
        victim = self._round[-1]
        if self._kill(victim):
            self._round.pop()
            self.killed[victim] += 1
            self._next = time.monotonic() + self.seconds_between * self._random.uniform(0.5, 1.5)

    def _kill(self, victim: str) -> bool:
        """Whether there was one to kill."""
        if victim == "worker":
            return self._kill_one(self.components.busy_workers)
        if victim == "task":
            return self._kill_one(self.components.task_processes)
        if victim == "scheduler":
            self.components.kill("scheduler")
        else:
            self.components.kill_with_all(victim.partition(" ")[0])
        return True

    def _kill_one(self, candidates: Callable[[], list[int]]) -> bool:
        pids = candidates()
        if not pids:
            return False
        try:
            os.kill(self._random.choice(pids), signal.SIGKILL)
        except ProcessLookupError:
            return False
        return True
