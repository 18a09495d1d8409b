"""The time of an execution, with a clock that is set by hand."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable

import pytest

from stepbridge_local.fault_injection.execution_time import ClockSetting, ExecutionTime, Pace


class Seconds:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def fast(speed: float = 100.0, jobs: bool = False) -> tuple[Pace, Seconds, ExecutionTime]:
    pace, clock = Pace(), Seconds()
    pace.change(ClockSetting(speed, jobs))
    return pace, clock, ExecutionTime(pace, clock)


def test_without_a_clock_set_time_is_real() -> None:
    """Asleep or awake, a second is a second."""
    clock = Seconds()
    execution = ExecutionTime(Pace(), clock)
    with execution.program_run():
        clock.now = 2
        with execution.asleep(1_000_000):
            clock.now = 5
    assert execution.elapsed() == 5


def test_time_runs_fast_while_the_only_run_sleeps() -> None:
    """And real as long as it is awake: a task, or the evaluation of a state."""
    _, clock, execution = fast()
    with execution.program_run():
        clock.now = 3
        assert execution.elapsed() == 3
        with execution.asleep(1_000_000):
            clock.now = 4
        assert execution.elapsed() == 103
        clock.now = 5
    assert execution.elapsed() == 104


def test_one_run_awake_keeps_time_real_for_all() -> None:
    """A job in one branch: the Wait beside it passes no faster than the job runs."""
    _, clock, execution = fast()
    with execution.program_run(), execution.resting(2):
        job, wait = execution.program_run(), execution.program_run()
        with wait, execution.asleep(1_000_000):
            with job:
                clock.now = 10
            assert execution.elapsed() == 10
            clock.now = 11  # the job has ended: only the Wait is left
            assert execution.elapsed() == 110


def test_runs_that_are_about_to_begin_count_as_awake() -> None:
    """A branch that sleeps already does not run ahead of one whose thread is still starting."""
    _, clock, execution = fast()
    with execution.program_run(), execution.resting(2):
        with execution.program_run(), execution.asleep(1_000_000):
            clock.now = 1
            assert execution.elapsed() == 1
        with execution.program_run():
            clock.now = 2
            assert execution.elapsed() == 2


def test_runs_that_never_began_do_not_stay_awake() -> None:
    """A Parallel state that failed before all branches had begun leaves no trace."""
    _, clock, execution = fast()
    with execution.program_run():
        with execution.resting(3), execution.program_run():
            pass
        with execution.asleep(1_000_000):
            clock.now = 1
        assert execution.elapsed() == 100


def test_with_jobs_time_runs_fast_always() -> None:
    """For tests of timeouts: also a task's time."""
    _, clock, execution = fast(jobs=True)
    with execution.program_run():
        clock.now = 2
    assert execution.elapsed() == 200


def test_a_nap_in_execution_time_is_short_in_real_time() -> None:
    """An hour at a million times takes no time, and is an hour of the execution."""
    pace = Pace()
    pace.change(ClockSetting(1_000_000))
    execution = ExecutionTime(pace)
    started = time.monotonic()
    with execution.program_run(), execution.asleep(3600) as alarm:
        assert alarm.wait() is False
        assert execution.elapsed() == pytest.approx(3600, abs=60)
    assert time.monotonic() - started < 60


def test_an_alarm_ends_the_waiting() -> None:
    """Set before or during the wait."""
    execution = ExecutionTime(Pace())
    with execution.alarm(60) as alarm:
        threading.Timer(0.05, alarm.set).start()
        assert alarm.wait() is True
        assert alarm.wait() is True


def sleeping(execution: ExecutionTime, seconds: float, then: Callable[[], None] = lambda: None) -> threading.Thread:
    """A thread with a run that sleeps so long, and then does that."""

    def run() -> None:
        with execution.program_run():
            with execution.asleep(seconds) as alarm:
                alarm.wait()
            then()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def test_a_clock_that_is_set_during_a_wait_takes_effect() -> None:
    """Running executions do not have to be started again."""
    pace = Pace()
    thread = sleeping(ExecutionTime(pace), 3600)
    thread.join(0.1)
    assert thread.is_alive()
    pace.change(ClockSetting(1_000_000))
    thread.join(60)
    assert not thread.is_alive()


def test_a_wait_ends_at_one_moment() -> None:
    """What begins and ends with it counts no fast time of its own, however long the machine takes for it."""
    pace = Pace()
    pace.change(ClockSetting(1000))
    readings = itertools.count()
    execution = ExecutionTime(pace, clock=lambda: float(next(readings)))  # a second passes from reading to reading
    with execution.alarm(1_000_000), execution.program_run():
        with execution.asleep(3600):
            pass
        assert execution.elapsed() == pytest.approx(1000, abs=10)


@pytest.mark.parametrize("attempt", range(20))
def test_a_timeout_after_the_wait_never_comes_before_it(attempt: int) -> None:
    """Though both pass at once, and the thread that waits takes its time to wake up."""
    pace = Pace()
    pace.change(ClockSetting(1_000_000))
    execution = ExecutionTime(pace)
    with execution.alarm(3601 + attempt) as timeout:
        sleeping(execution, 3600, then=timeout.set)
        assert timeout.wait() is True


@pytest.mark.parametrize("attempt", range(20))
def test_a_timeout_before_the_end_of_the_wait_never_comes_after_it(attempt: int) -> None:
    """What is done at a timeout is done before time goes on."""
    pace = Pace()
    pace.change(ClockSetting(1_000_000))
    execution = ExecutionTime(pace)
    happened: list[str] = []
    with execution.alarm(3599 - attempt) as timeout:
        thread = sleeping(execution, 3600, then=lambda: happened.append("waited"))
        assert timeout.wait() is False
        happened.append("timed out")
    thread.join(60)
    assert happened == ["timed out", "waited"]
