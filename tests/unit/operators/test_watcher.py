"""The watcher's table of states and transitions: complete, obeyed, and the same in the documentation."""

from __future__ import annotations

import asyncio
import itertools
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from stepbridge.errors import ThrottlingError
from stepbridge.triggers.poller import Poller, Snapshot
from stepbridge.triggers.subscribers import Inbox, Subscribers
from stepbridge.triggers.watcher import TRANSITIONS, Action, Event, State, Watcher

PAGE = Path(__file__).parents[3] / "docs" / "watching.md"


@dataclass
class Polls:
    """Polls that are answered, or fail, at once."""

    failures: int = 0
    youngest_seconds: float = 3600.0
    pages: int = 1
    polled: list[float] = field(default_factory=list)

    def poll(self) -> Snapshot:
        self.polled.append(time.monotonic())
        error = ThrottlingError("states:ListExecutions", "throttled") if self.failures else None
        return Snapshot(cast("Any", None), cast("Any", None), running=frozenset({"arn"}), error=error)


@dataclass
class Queue:
    """A queue that answers, or does not."""

    receives: bool = True

    def start(self) -> None:
        """Nothing has to be started."""


def watcher_of(polls: Polls, queue: Queue | None = None) -> tuple[Watcher, Inbox, Subscribers]:
    inbox, subscribers = Inbox(), Subscribers()
    return Watcher(cast("Poller", polls), subscribers, inbox, cast("Any", queue)), inbox, subscribers


def test_every_state_is_reached_and_left() -> None:
    """No state is without a way in or out, and every event and action has a row."""
    assert {state for state, _ in TRANSITIONS} == set(State) == {state for state, _ in TRANSITIONS.values()}
    assert {event for _, event in TRANSITIONS} == set(Event)
    assert {action for _, action in TRANSITIONS.values()} == set(Action)


@pytest.mark.parametrize(
    ("state", "event"), [pair for pair in itertools.product(State, Event) if pair not in TRANSITIONS]
)
def test_an_event_without_a_row_changes_nothing(state: State, event: Event) -> None:
    """Neither the state nor a time, and nothing is sent."""

    async def scenario() -> None:
        watcher, _, _ = watcher_of(Polls())
        watcher.handle(await watcher.next_event())
        watcher.state = state
        before = dict(vars(watcher))
        assert watcher.handle(event) is None
        assert vars(watcher) == before

    asyncio.run(scenario())


def test_documentation_has_the_table() -> None:
    """docs/watching.md, row by row."""
    rows = re.findall(r"^\| (.+) \| (.+) \| (.+) \| (.+) \|$", PAGE.read_text(), re.MULTILINE)
    documented = [row for row in rows if row[0] in {state.value for state in State}]
    assert documented == [
        (state.value, event.value, after.value, action.value) for (state, event), (after, action) in TRANSITIONS.items()
    ]


def test_a_poll_is_followed_by_ends_histories_and_the_next_poll() -> None:
    """What arrives between two polls is sent as it comes; ends before histories."""

    async def scenario() -> None:
        polls = Polls(youngest_seconds=0.0)
        watcher, inbox, subscribers = watcher_of(polls, Queue())
        with subscribers.subscribed("arn"):
            assert await watcher.next_event() is Event.POLL_ANSWERED
            polled = watcher.handle(Event.POLL_ANSWERED)
            inbox.add_ended(frozenset({"arn"}))
            assert await watcher.next_event() is Event.ENDS_REPORTED
            ended = watcher.handle(Event.ENDS_REPORTED)
            assert await watcher.next_event() is Event.HISTORY_DUE
            history = watcher.handle(Event.HISTORY_DUE)
        assert polled
        assert polled.may_have_ended("gone")
        assert not polled.may_have_ended("arn")
        assert ended
        assert ended.may_have_ended("arn")
        assert not ended.histories
        assert history
        assert history.histories == {"arn"}
        assert not history.may_have_ended("arn")

    asyncio.run(scenario())


def test_a_trigger_that_subscribes_brings_the_next_poll_forward() -> None:
    """Also while the interval is long because all executions are old."""

    async def scenario() -> float:
        polls = Polls()
        watcher, _, subscribers = watcher_of(polls)
        with subscribers.served_through(watcher._inbox):
            watcher.handle(await watcher.next_event())
            subscribers.request_poll()
            while watcher.state is not State.POLLING:
                watcher.handle(await watcher.next_event())
            await watcher.next_event()
        return polls.polled[1] - polls.polled[0]

    assert asyncio.run(scenario()) < 5


def test_a_poll_that_failed_is_not_brought_forward() -> None:
    """However many triggers subscribe: throttling is answered with patience."""

    async def scenario() -> None:
        watcher, _, subscribers = watcher_of(Polls(failures=1))
        with subscribers.served_through(watcher._inbox):
            watcher.handle(await watcher.next_event())
            assert watcher.state is State.BACKING_OFF
            began = time.monotonic()
            subscribers.request_poll()
            assert await watcher.next_event() is Event.POLL_DUE
        assert time.monotonic() - began > 1.5

    asyncio.run(scenario())


def test_a_queue_that_ceases_to_answer_shortens_the_interval() -> None:
    """Ends are found by polling then, as often as without a queue."""

    async def scenario() -> None:
        queue = Queue()
        watcher, inbox, _ = watcher_of(Polls(), queue)
        watcher.handle(await watcher.next_event())
        by_events = watcher._poll_at
        queue.receives = False
        inbox.add_ended(frozenset())
        assert await watcher.next_event() is Event.QUEUE_SILENT
        watcher.handle(Event.QUEUE_SILENT)
        assert watcher._poll_at < by_events

    asyncio.run(scenario())
