"""The watcher: one for all triggers of a triggerer that wait for executions of one state machine and connection.

It polls, at an interval that grows with the executions' age, and sends each snapshot to all triggers. Where the stack
sends ends of executions to a queue, they are passed on as they arrive, and polls are only the safety net.

``TRANSITIONS`` is all it does. Two rules hold for it: what the watcher does next depends on the state, the event and
the clock alone; an event that has no row changes nothing. docs/watching.md has the table in words.
"""

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from enum import Enum
from typing import Any, Final

from stepbridge.aws.arns import state_machine_arn
from stepbridge.triggers.end_events import EndEventReceiver
from stepbridge.triggers.poll_interval import SHORTEST_SECONDS, backoff_seconds, poll_interval, with_jitter
from stepbridge.triggers.poller import Poller, Snapshot
from stepbridge.triggers.subscribers import Inbox, Subscribers

log = logging.getLogger(__name__)

GATHER_SECONDS: Final = 0.2
"""Ends that arrive within it are sent together: many end at once, and every snapshot goes to all triggers."""

POLLS_APART_SECONDS: Final = 5.0
"""Between two polls where events report ends, however many triggers subscribe."""


class State(Enum):
    """``closed`` is the end of the stream: Airflow closes it when the last trigger has left."""

    POLLING = "polling"
    WAITING = "waiting"
    BACKING_OFF = "backing off"


class Event(Enum):
    """What happens to a watcher."""

    POLL_ANSWERED = "the poll was answered"
    POLL_FAILED = "the poll failed"
    POLL_DUE = "the interval is over"
    POLL_REQUESTED = "a trigger subscribed"
    ENDS_REPORTED = "events reported ends"
    HISTORY_DUE = "histories are due"
    QUEUE_SILENT = "the queue ceased to answer"


class Action(Enum):
    """What the watcher does then."""

    SEND_SNAPSHOT = "send the snapshot and set the interval"
    SEND_ENDS = "send the ends, no more than five times a second"
    SEND_HISTORY_TURN = "name the next three executions whose history is read"
    POLL_SOON = "poll within a second, or 5 s after the last poll where events report ends"
    SHORTEN_INTERVAL = "poll as often as without events"
    POLL = "poll"


TRANSITIONS: Final[Mapping[tuple[State, Event], tuple[State, Action]]] = {
    (State.POLLING, Event.POLL_ANSWERED): (State.WAITING, Action.SEND_SNAPSHOT),
    (State.POLLING, Event.POLL_FAILED): (State.BACKING_OFF, Action.SEND_SNAPSHOT),
    (State.WAITING, Event.ENDS_REPORTED): (State.WAITING, Action.SEND_ENDS),
    (State.WAITING, Event.HISTORY_DUE): (State.WAITING, Action.SEND_HISTORY_TURN),
    (State.WAITING, Event.POLL_REQUESTED): (State.WAITING, Action.POLL_SOON),
    (State.WAITING, Event.QUEUE_SILENT): (State.WAITING, Action.SHORTEN_INTERVAL),
    (State.WAITING, Event.POLL_DUE): (State.POLLING, Action.POLL),
    (State.BACKING_OFF, Event.ENDS_REPORTED): (State.BACKING_OFF, Action.SEND_ENDS),
    (State.BACKING_OFF, Event.POLL_DUE): (State.POLLING, Action.POLL),
}


def stream_key(arguments: Mapping[str, Any]) -> tuple[str, ...]:
    """Triggers with the same key share a watcher. Account and region are in the state machine's ARN."""
    state_machine = state_machine_arn(arguments["execution_arn"])
    queue_url = arguments.get("events_queue_url") or ""
    return ("stepbridge", state_machine, str(arguments["aws_conn_id"]), str(arguments["region_name"]), queue_url)


async def watch(arguments: Mapping[str, Any], subscribers: Subscribers) -> AsyncIterator[Snapshot]:
    """A ``Snapshot`` now and then, for ever, for the ``subscribers`` of this stream."""
    inbox = Inbox()
    poller = Poller(arguments, subscribers.executions)
    receiver = _receiver(arguments.get("events_queue_url"), poller, subscribers, inbox)
    watcher = Watcher(poller, subscribers, inbox, receiver)
    with subscribers.served_through(inbox):
        try:
            while True:
                snapshot = watcher.handle(await watcher.next_event())
                if snapshot is not None:
                    yield snapshot
        finally:
            if receiver is not None:
                receiver.stop()


def _receiver(queue_url: str | None, poller: Poller, subscribers: Subscribers, inbox: Inbox) -> EndEventReceiver | None:
    if not queue_url:
        return None
    loop = asyncio.get_running_loop()

    def report(ended: frozenset[str]) -> None:
        try:
            loop.call_soon_threadsafe(inbox.add_ended, ended)
        except RuntimeError:  # the loop is closed: it does not wait for the receiver's thread
            log.debug("no trigger waits any longer for %s", ended)

    return EndEventReceiver(queue_url, poller.sqs, subscribers.wait_for, report)


class Watcher:
    """The state, the clock and what carries the actions out."""

    def __init__(
        self, poller: Poller, subscribers: Subscribers, inbox: Inbox, receiver: EndEventReceiver | None
    ) -> None:
        self._poller = poller
        self._subscribers = subscribers
        self._inbox = inbox
        self._receiver = receiver
        self.state = State.POLLING
        self._snapshot: Snapshot  # set by the first poll, before anything is sent
        self._polled_at = self._poll_at = self._history_at = self._send_at = 0.0
        self._polling_seconds = 0.0  # the interval without events
        self._by_events = False  # whether the interval is the safety net's

    async def next_event(self) -> Event:
        """What happens next: in POLLING the end of the poll, else whatever comes first."""
        if self.state is State.POLLING:
            self._inbox.poll_requested = False
            self._snapshot = await asyncio.to_thread(self._poller.poll)
            return Event.POLL_FAILED if self._snapshot.error else Event.POLL_ANSWERED
        await asyncio.sleep(self._send_at - time.monotonic())
        while (event := self._event_at(now := time.monotonic())) is None:
            await self._inbox.wait(min(at for at in (self._poll_at, self._history_at) if at > now) - now)
        return event

    def _event_at(self, now: float) -> Event | None:
        happened = {
            Event.POLL_DUE: now >= self._poll_at,
            Event.ENDS_REPORTED: bool(self._inbox.ended),
            Event.QUEUE_SILENT: self._by_events and not self._receiving,
            Event.HISTORY_DUE: now >= self._history_at,
            Event.POLL_REQUESTED: self._inbox.poll_requested,
        }
        return next((event for event, is_so in happened.items() if is_so and (self.state, event) in TRANSITIONS), None)

    def handle(self, event: Event) -> Snapshot | None:
        """Follow the event's row; what is to be sent to the triggers, if anything is."""
        self._inbox.poll_requested &= event is not Event.POLL_REQUESTED
        self.state, action = TRANSITIONS.get((self.state, event), (self.state, None))
        now = time.monotonic()
        match action:
            case Action.SEND_SNAPSHOT:
                self._set_interval(now)
                return replace(self._snapshot, histories=self._subscribers.next_histories())
            case Action.SEND_ENDS:
                self._send_at = now + GATHER_SECONDS
                return Snapshot(self._snapshot.client, self._snapshot.logs, ended=self._inbox.take_ended())
            case Action.SEND_HISTORY_TURN:
                self._history_at = now + self._polling_seconds
                histories = self._subscribers.next_histories()
                return Snapshot(self._snapshot.client, self._snapshot.logs, ended=frozenset(), histories=histories)
            case Action.POLL_SOON:
                # Triggers that subscribe together are served by one poll.
                soon = now + min(self._polling_seconds, SHORTEST_SECONDS)
                earliest = self._polled_at + POLLS_APART_SECONDS if self._by_events else soon
                self._poll_at = min(self._poll_at, max(soon, earliest))
            case Action.SHORTEN_INTERVAL:
                self._by_events = False
                self._poll_at = min(self._poll_at, self._polled_at + self._polling_seconds)
        return None

    def _set_interval(self, now: float) -> None:
        if self._receiver is not None:
            self._receiver.start()
        self._by_events = self._receiving
        self._polled_at = self._send_at = now
        age, pages, draw = self._poller.youngest_seconds, self._poller.pages, random.random()
        if self._poller.failures:
            polling_seconds = seconds = backoff_seconds(self._poller.failures)
        else:
            polling_seconds, seconds = poll_interval(age, pages), poll_interval(age, pages, by_events=self._by_events)
        self._polling_seconds = with_jitter(polling_seconds, draw)
        self._poll_at = now + with_jitter(seconds, draw)
        self._history_at = now + self._polling_seconds

    @property
    def _receiving(self) -> bool:
        return self._receiver is not None and self._receiver.receives
