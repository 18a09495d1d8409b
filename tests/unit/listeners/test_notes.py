"""Notes are looked at in time, by one thread, and by none when there are none."""

from __future__ import annotations

import threading
import time

import pytest

from stepbridge.listeners import notes
from stepbridge.listeners.notes import Notes
from stepbridge.listeners.verdict import Ended

DEADLINE_SECONDS = 30.0


def ended(run: int) -> Ended:
    return Ended("dag", f"run {run}", "marked as failed")


def watchers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "stepbridge-ends"]


def test_each_note_is_looked_at_once_and_the_thread_goes() -> None:
    """From several threads, none is lost."""
    seen: list[Ended] = []
    kept = Notes(lambda note: seen.append(note) is None, grace_seconds=0.05)
    adders = [threading.Thread(target=kept.add, args=(ended(run),)) for run in range(20)]
    for adder in adders:
        adder.start()
    for adder in adders:
        adder.join()
    deadline = time.monotonic() + DEADLINE_SECONDS
    while len(seen) < 20 or watchers():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert {note.run_id for note in seen} == {f"run {run}" for run in range(20)}
    kept.add(ended(99))
    while ended(99) not in seen:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_what_could_not_be_done_is_looked_at_again_behind_others() -> None:
    """A lost network is over in a while; nobody else waits for that."""
    seen: list[str] = []

    def look(note: Ended) -> bool:
        seen.append(note.run_id)
        return note.run_id != "run 1" or seen.count("run 1") == 2

    kept = Notes(look, grace_seconds=0.0)
    kept.add(ended(1))
    kept.add(ended(2))
    deadline = time.monotonic() + DEADLINE_SECONDS
    while len(seen) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert seen == ["run 1", "run 2", "run 1"]


def test_there_is_a_bound(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond it nothing is kept, and the log says what was not."""
    monkeypatch.setattr(notes, "LIMIT", 2)
    kept = Notes(lambda _note: True, grace_seconds=1.0)
    for run in range(3):
        kept.add(ended(run))
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "run 2" in caplog.text
