"""Notices are checked in time, by one thread, and no thread runs when there are none."""

from __future__ import annotations

import threading
import time

import pytest

from stepbridge.listeners import delayed_checks
from stepbridge.listeners.delayed_checks import DelayedChecks
from stepbridge.listeners.stop_decision import EndNotice

DEADLINE_SECONDS = 30.0


def notice(run: int) -> EndNotice:
    return EndNotice("dag", f"run {run}", "marked as failed")


def check_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "stepbridge-checks"]


def test_each_notice_is_checked_once_and_the_thread_ends() -> None:
    """None is lost when several threads add."""
    seen: list[EndNotice] = []
    checks = DelayedChecks(lambda note: seen.append(note) is None, grace_seconds=0.05)
    adders = [threading.Thread(target=checks.add, args=(notice(run),)) for run in range(20)]
    for adder in adders:
        adder.start()
    for adder in adders:
        adder.join()
    deadline = time.monotonic() + DEADLINE_SECONDS
    while len(seen) < 20 or check_threads():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert {note.run_id for note in seen} == {f"run {run}" for run in range(20)}
    checks.add(notice(99))
    while notice(99) not in seen:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_check_that_was_not_done_comes_again_after_the_others() -> None:
    """While the network is lost for one, the others do not wait for it."""
    seen: list[str] = []

    def check(note: EndNotice) -> bool:
        seen.append(note.run_id)
        return note.run_id != "run 1" or seen.count("run 1") == 2

    checks = DelayedChecks(check, grace_seconds=0.0)
    checks.add(notice(1))
    checks.add(notice(2))
    deadline = time.monotonic() + DEADLINE_SECONDS
    while len(seen) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert seen == ["run 1", "run 2", "run 1"]


def test_the_number_of_notices_is_bounded(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limit no notice is checks, and the log names the one that was dropped."""
    monkeypatch.setattr(delayed_checks, "LIMIT", 2)
    checks = DelayedChecks(lambda _note: True, grace_seconds=1.0)
    for run in range(3):
        checks.add(notice(run))
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "run 2" in caplog.text
