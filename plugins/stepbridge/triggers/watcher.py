"""One watcher for all triggers of a triggerer that wait for executions of one state machine.

A look is one ListExecutions of what runs, 1000 a page, however many wait; if several run no more, another one of the
latest executions tells how they ended. Where the stack tells of ends of executions
in a queue, a look is only the safety net: it comes seldom. boto3 runs in threads: one session and one client a watcher.
"""

from __future__ import annotations

import asyncio
import logging
import random
import threading
import time
from collections.abc import AsyncIterator, Callable, Hashable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar

from stepbridge.aws.arns import region_of, state_machine_arn
from stepbridge.aws.step_functions import PAGE_SIZE, StepFunctions
from stepbridge.core.statuses import execution_status
from stepbridge.errors import (
    AwsError,
    CredentialsError,
    EndpointUnreachableError,
    ServiceUnavailableError,
    ThrottlingError,
)
from stepbridge.triggers.end_events import EndEventReceiver
from stepbridge.triggers.poll_interval import (
    SHORTEST_SECONDS,
    backoff_seconds,
    poll_interval,
    safety_poll_interval,
    with_jitter,
)
from stepbridge.triggers.state_changes import turns_of

if TYPE_CHECKING:
    from stepbridge.aws.sqs import Sqs
    from stepbridge.hooks.stepbridge import StepbridgeHook

__all__ = ["CREDENTIALS_GRACE_SECONDS", "TRANSIENT_ERRORS", "Look", "ask_for_a_look", "hook_of", "looks", "stream_key"]

log = logging.getLogger(__name__)
Client = TypeVar("Client")

# What passes by itself: these slow the watcher down and never fail a wait.
TRANSIENT_ERRORS: Final = (ThrottlingError, ServiceUnavailableError, EndpointUnreachableError)
CREDENTIALS_GRACE_SECONDS: Final = 600.0  # somebody renews them in the connection, or the wait is told

GATHER_SECONDS: Final = 0.2
"""Ends that are told within it are one Look: many end together, and every Look goes to all who wait."""

MOST_LISTED: Final = 3 * PAGE_SIZE
"""How many of the latest executions are listed to see how some have ended; the others are described one by one."""

LOOKS_APART_SECONDS: Final = 5.0
"""Between two looks where events tell of ends, however many triggers join."""


@dataclass(frozen=True)
class Look:
    """What one look saw through ``client``: the executions that run, or the fault that kept it from seeing them.

    ``endings``: by execution the status that some have ended with, as the list says. ``ended``: nobody looked, but
    events told that these have ended; None for a look of one's own. ``hopeless``: the fault does not pass by itself,
    and whoever waits should be told. ``turns``: the executions whose state changes are asked for after this look.
    """

    client: StepFunctions
    running: frozenset[str] = frozenset()
    endings: Mapping[str, str] = field(default_factory=dict)
    ended: frozenset[str] | None = None
    fault: AwsError | None = None
    hopeless: bool = False
    turns: frozenset[str] = frozenset()

    def may_have_ended(self, execution_arn: str) -> bool:
        """Whether it is time to describe the execution."""
        if self.ended is not None:
            return execution_arn in self.ended
        return self.fault is None and execution_arn not in self.running


class _Doorbell:
    """What may cut a watcher's pause short. Used in the event loop's thread only."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()
        self._ended: frozenset[str] = frozenset()
        self.look_wanted = False

    def want_a_look(self) -> None:
        self.look_wanted = True
        self._rung.set()

    def tell(self, ended: frozenset[str]) -> None:
        """Some executions have ended; none: the listener hears again, or no more."""
        self._ended |= ended
        self._rung.set()

    def take_ended(self) -> frozenset[str]:
        ended, self._ended = self._ended, frozenset()
        return ended

    async def rung_within(self, seconds: float) -> None:
        """Return when it is rung, or after the time."""
        try:
            await asyncio.wait_for(self._rung.wait(), seconds)
        except TimeoutError:
            return
        self._rung.clear()


_doorbells: Final[dict[Hashable, _Doorbell]] = {}
"""Per running watcher of this process; watchers add and remove theirs."""


def stream_key(arguments: dict[str, Any]) -> tuple[str, ...]:
    """Who has the same key shares a watcher. Account and region are in the state machine's ARN."""
    state_machine = state_machine_arn(arguments["execution_arn"])
    queue_url = arguments.get("events_queue_url") or ""
    return ("stepbridge", state_machine, str(arguments["aws_conn_id"]), str(arguments["region_name"]), queue_url)


def ask_for_a_look(key: Hashable) -> None:
    """Make the watcher look soon, if there is one."""
    if doorbell := _doorbells.get(key):
        doorbell.want_a_look()


def hook_of(arguments: dict[str, Any]) -> StepbridgeHook:
    """The hook in the region of the execution, unless another is named."""
    region = arguments["region_name"] or region_of(arguments["execution_arn"])
    from stepbridge.hooks.stepbridge import StepbridgeHook  # here, since a parse of a DAG file shall not import boto3

    return StepbridgeHook(arguments["aws_conn_id"], region)


async def looks(arguments: dict[str, Any]) -> AsyncIterator[Look]:
    """A ``Look`` now and then, for ever: soon after executions began or ended, or a trigger joined; seldom later on."""
    key = stream_key(arguments)
    doorbell = _doorbells[key] = _Doorbell()
    watcher = _Watcher(arguments)
    listener = _listener(arguments, watcher, doorbell)
    try:
        while True:
            doorbell.look_wanted = False
            look = await asyncio.to_thread(watcher.look)
            if listener is not None:
                listener.start()
            yield replace(look, turns=turns_of(key).next())
            pause = _Pause(look, watcher, listener, doorbell)
            while (ended := await pause.interrupted()) is not None:
                yield Look(look.client, ended=ended, turns=turns_of(key).next() if not ended else frozenset())
    finally:
        if listener is not None:
            listener.stop()
        if _doorbells.get(key) is doorbell:
            del _doorbells[key]


def _listener(arguments: dict[str, Any], watcher: _Watcher, doorbell: _Doorbell) -> EndEventReceiver | None:
    queue_url = arguments.get("events_queue_url")
    if not queue_url:
        return None
    loop = asyncio.get_running_loop()

    def tell(ended: frozenset[str]) -> None:
        try:
            loop.call_soon_threadsafe(doorbell.tell, ended)
        except RuntimeError:  # the loop is closed, it does not wait for the listener's thread: nobody is there to tell
            log.debug("nobody is told any more of %s", ended)

    return EndEventReceiver(queue_url, watcher.sqs, turns_of(stream_key(arguments)).waits_for, tell)


class _Watcher:
    """Looks at one state machine's executions, from one thread at a time."""

    def __init__(self, arguments: dict[str, Any]) -> None:
        self._arguments = arguments
        self._state_machine = state_machine_arn(arguments["execution_arn"])
        self._waited_for = turns_of(stream_key(arguments)).waited_for
        self._making_clients = threading.Lock()
        self._hook: StepbridgeHook | None = None
        self._failures = 0
        self._failing_since = 0.0
        self._youngest_seconds = 0.0
        self._pages = 1

    def look(self) -> Look:
        """One look."""
        client = self._client(lambda hook: hook.step_functions)
        try:
            running = list(client.running(self._state_machine))
            names = frozenset(execution.arn for execution in running)
            endings = self._endings(client, self._waited_for() - names)
        except AwsError as fault:
            return self._failed(client, fault)
        self._failures = 0
        now = datetime.now(UTC)
        ages = ((now - execution.latest_start).total_seconds() for execution in running)
        self._youngest_seconds, self._pages = min(ages, default=0.0), len(running) // PAGE_SIZE + 1
        return Look(client, names, endings)

    def _endings(self, client: StepFunctions, missing: frozenset[str]) -> dict[str, str]:
        """How those have ended that run no more; one is described for the same price by who waits for it."""
        if len(missing) < 2:
            return {}
        found: dict[str, str] = {}
        for execution in client.latest(self._state_machine, MOST_LISTED):
            if execution.arn in missing and execution_status(execution.status).terminal:
                found[execution.arn] = execution.status
                if len(found) == len(missing):
                    break
        return found

    def pause_seconds(self, events_tell: bool) -> float:
        """Seconds until the look after the last one."""
        if self._failures:
            return backoff_seconds(self._failures)
        return (safety_poll_interval if events_tell else poll_interval)(self._youngest_seconds, self._pages)

    def sqs(self) -> Sqs:
        """Queues, through the same session. Any thread may ask."""
        return self._client(lambda hook: hook.sqs)

    def _client(self, of: Callable[[StepbridgeHook], Client]) -> Client:
        with self._making_clients:  # a session makes one client at a time
            self._hook = self._hook or hook_of(self._arguments)
            return of(self._hook)

    def _failed(self, client: StepFunctions, fault: AwsError) -> Look:
        self._failing_since = self._failing_since if self._failures else time.monotonic()
        self._failures += 1
        hopeless = not isinstance(fault, TRANSIENT_ERRORS)
        if isinstance(fault, CredentialsError):
            hopeless = time.monotonic() - self._failing_since > CREDENTIALS_GRACE_SECONDS
            self._hook = None  # the next look reads the connection again
        log.log(logging.ERROR if hopeless else logging.WARNING, "cannot see what runs: %s", fault)
        return Look(client, fault=fault, hopeless=hopeless)


class _Pause:
    """The time between a look and the next, and what interrupts it or cuts it short."""

    def __init__(self, look: Look, watcher: _Watcher, listener: EndEventReceiver | None, doorbell: _Doorbell) -> None:
        self._after_fault = look.fault is not None
        self._listener = listener
        self._doorbell = doorbell
        self._began = self._next_interruption = time.monotonic()
        self._polling_seconds = with_jitter(watcher.pause_seconds(False), random.random())
        seconds = with_jitter(watcher.pause_seconds(True), random.random()) if self._hears else self._polling_seconds
        self._until = self._began + seconds
        self._next_lines = self._began + self._polling_seconds

    @property
    def _hears(self) -> bool:
        return self._listener is not None and self._listener.hears

    async def interrupted(self) -> frozenset[str] | None:
        """The executions that have ended; none of them when it is time for lines of state changes, which come as often
        as without events; None when it is time for the next look.
        """
        await asyncio.sleep(self._next_interruption - time.monotonic())
        while (now := time.monotonic()) < self._until:
            if ended := self._doorbell.take_ended():
                self._next_interruption = now + GATHER_SECONDS
                return ended
            if now >= self._next_lines:
                self._next_lines = now + self._polling_seconds
                return frozenset()
            await self._doorbell.rung_within(min(self._until, self._next_lines) - now)
            self._cut_short()
        return None

    def _cut_short(self) -> None:
        if not self._hears:
            self._until = min(self._until, self._began + self._polling_seconds)
        if self._doorbell.look_wanted and not self._after_fault:
            # Those who join together are looked for together.
            soon = time.monotonic() + min(self._polling_seconds, SHORTEST_SECONDS)
            self._until = min(self._until, max(soon, self._began + LOOKS_APART_SECONDS) if self._hears else soon)
