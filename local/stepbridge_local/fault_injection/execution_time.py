"""The clock of an execution: real time, but faster while the execution only waits.

A *program run* is the execution itself, a branch or an iteration. It is *asleep* in a Wait state or between two
attempts of a Retry, *resting* while its own branches or iterations run, else *awake*. With a clock set (``fault set
clock --speed N``), one second of an execution counts as N seconds if all its runs are asleep or resting. If one is
awake, because a task runs or a state is evaluated, a second counts as a second. So waiting takes no time, and events
keep AWS's order: a job of 5 s ends before a Wait of 10 s beside it. TimeoutSeconds use this clock, so they do not fire
because a real job takes real time. With ``jobs`` the clock is always N times as fast, and timeouts fire N times as
early. That is for tests of timeouts.

When a thread's wait is over, the fast clock stops until that thread has woken up and continued. This takes the thread
milliseconds, which would be hours at a speed of a million.

Only durations are affected. Dates are real, even in histories, so they never run backwards.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic

__all__ = ["REAL_TIME", "Alarm", "ClockSetting", "ExecutionTime", "Pace"]


@dataclass(frozen=True)
class ClockSetting:
    """How fast waiting passes, and whether the clock is also fast while tasks run."""

    speed: float = 1.0
    jobs: bool = False


REAL_TIME = ClockSetting()


class Pace:
    """The clock setting of a local AWS, which can change at any time, and the executions that are waiting."""

    def __init__(self) -> None:
        self.setting = REAL_TIME
        self._lock = threading.Lock()
        self._waiting: set[ExecutionTime] = set()

    def change(self, setting: ClockSetting) -> None:
        """Use this setting from now on, also for executions that are already waiting."""
        with self._lock:
            self.setting = setting
            waiting = list(self._waiting)
        for time in waiting:
            time.recount()

    def add(self, time: ExecutionTime) -> None:
        with self._lock:
            self._waiting.add(time)

    def remove(self, time: ExecutionTime) -> None:
        with self._lock:
            self._waiting.discard(time)


class ExecutionTime:
    """The time of one execution, from its making. Thread safe. ``clock`` gives real seconds."""

    def __init__(self, pace: Pace, clock: Callable[[], float] = monotonic) -> None:
        self._pace = pace
        self._clock = clock
        self._lock = threading.Lock()
        self._deadlines: dict[Alarm, float] = {}  # alarms that are being waited for
        self._awake = 0
        self._asleep = 0
        self._expected = 0  # runs that will begin soon; they already count as awake
        self._elapsed = 0.0
        self._read_at = clock()
        self._rate = 1.0

    def elapsed(self) -> float:
        """Seconds of execution time since the beginning."""
        with self._lock:
            self._advance()
            return self._elapsed

    @contextmanager
    def program_run(self) -> Iterator[None]:
        """A program run that lasts as long as the block."""
        with self._changing():
            if self._expected:
                self._expected -= 1
            else:
                self._awake += 1
        try:
            yield
        finally:
            with self._changing():
                self._awake -= 1

    @contextmanager
    def asleep(self, seconds: float) -> Iterator[Alarm]:
        """The run only waits during the block, at most ``seconds``, for the alarm that is given."""
        alarm = Alarm(self)
        with self._changing():
            self._awake -= 1
            self._asleep += 1
            self._register(alarm, seconds)
        try:
            yield alarm
        finally:
            with self._changing():
                self._awake += 1
                self._asleep -= 1
                self._forget(alarm)

    @contextmanager
    def alarm(self, seconds: float) -> Iterator[Alarm]:
        """Something to wait for during the block, in this time, at most ``seconds`` from now on."""
        alarm = Alarm(self)
        with self._changing():
            self._register(alarm, seconds)
        try:
            yield alarm
        finally:
            with self._changing():
                self._forget(alarm)

    @contextmanager
    def resting(self, runs: int) -> Iterator[None]:
        """The run waits during the block for ``runs`` runs below it, which are about to begin."""
        with self._changing():
            self._awake += runs - 1
            self._expected += runs
        try:
            yield
        finally:
            with self._changing():  # runs that never began, because the state failed or was stopped
                self._awake += 1 - self._expected
                self._expected = 0

    def recount(self) -> None:
        """Take over a changed setting."""
        with self._changing():
            pass

    def left(self, alarm: Alarm) -> tuple[float, float]:
        """How many seconds are left of an alarm's time, and how fast they pass now."""
        with self._lock:
            self._advance()
            return self._deadlines[alarm] - self._elapsed, self._rate

    def _register(self, alarm: Alarm, seconds: float) -> None:
        self._deadlines[alarm] = self._elapsed + seconds
        self._pace.add(self)

    def _forget(self, alarm: Alarm) -> None:
        del self._deadlines[alarm]
        if not self._deadlines:
            self._pace.remove(self)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        with self._lock:
            before = self._rate
            self._advance()
            yield
            self._rate = self._rate_now()  # a change must take no time, because a microsecond can count as a second
            alarms = list(self._deadlines) if self._rate != before else []
        for alarm in alarms:
            alarm.recompute()

    def _advance(self) -> None:
        """Count the real time since the last reading at the rate that held, and set the one that holds now."""
        now = self._clock()
        passed = self._elapsed + (now - self._read_at) * self._rate
        if self._rate > 1 and self._deadlines:
            passed = min(passed, max(self._elapsed, min(self._deadlines.values())))
        self._elapsed = passed
        self._read_at = now
        self._rate = self._rate_now()

    def _rate_now(self) -> float:
        setting = self._pace.setting
        only_waits = self._asleep > 0 and self._awake == 0
        return setting.speed if setting.jobs or only_waits else 1.0


class Alarm:
    """An event that is waited for in the time of an execution."""

    def __init__(self, time: ExecutionTime) -> None:
        self._time = time
        self._changed = threading.Event()
        self._is_set = False

    def set(self) -> None:
        """End the wait, and all later ones."""
        self._is_set = True
        self._changed.set()

    def recompute(self) -> None:
        """Make the waiting thread compute its remaining time again."""
        self._changed.set()

    def wait(self) -> bool:
        """Wait until it is set or its time is over; whether it was set."""
        while True:
            self._changed.clear()
            if self._is_set:
                return True
            left, rate = self._time.left(self)
            if left <= 0:
                return False
            self._changed.wait(min(left / rate, threading.TIMEOUT_MAX))
