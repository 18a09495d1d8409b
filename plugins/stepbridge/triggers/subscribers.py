"""The triggers of one process that share a watcher: the executions they wait for, and their requests to it."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

HISTORIES_PER_POLL: Final = 3
"""Polls are at least a second apart: at most 3 GetExecutionHistory a second and triggerer, of 20 per account."""


class Inbox:
    """What reaches a watcher between two polls. Used in the event loop's thread only."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()
        self.ended: frozenset[str] = frozenset()
        self.poll_requested = False

    def request_poll(self) -> None:
        self.poll_requested = True
        self._changed.set()

    def add_ended(self, execution_arns: frozenset[str]) -> None:
        """Events reported these ends; an empty set: the queue began or ceased to answer."""
        self.ended |= execution_arns
        self._changed.set()

    def take_ended(self) -> frozenset[str]:
        ended, self.ended = self.ended, frozenset()
        return ended

    async def wait(self, seconds: float) -> None:
        """Return when something arrives, or after ``seconds``."""
        try:
            await asyncio.wait_for(self._changed.wait(), seconds)
        except TimeoutError:
            return
        self._changed.clear()


class Subscribers:
    """Triggers subscribe here; the watcher that serves them, while it runs, has its inbox here."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}  # triggers per execution; the order is whose history is read next
        self._inbox: Inbox | None = None

    @contextmanager
    def subscribed(self, execution_arn: str) -> Iterator[None]:
        """Count as a trigger that waits for the execution within the block."""
        self._counts[execution_arn] = self._counts.get(execution_arn, 0) + 1
        try:
            yield
        finally:
            self._counts[execution_arn] -= 1
            if not self._counts[execution_arn]:
                del self._counts[execution_arn]

    @contextmanager
    def served_through(self, inbox: Inbox) -> Iterator[None]:
        """Requests reach ``inbox`` within the block."""
        self._inbox = inbox
        try:
            yield
        finally:
            if self._inbox is inbox:  # else the next watcher has taken over
                self._inbox = None

    def request_poll(self) -> None:
        """Ask the watcher to poll soon. Without one nothing happens: it polls when it starts."""
        if self._inbox is not None:
            self._inbox.request_poll()

    def wait_for(self, execution_arn: str) -> bool:
        """Whether a trigger waits for the execution. Any thread may ask."""
        return execution_arn in self._counts

    def executions(self) -> frozenset[str]:
        """The executions that triggers wait for. Any thread may ask."""
        return frozenset(self._counts.copy())  # the copy is atomic, while triggers come and go

    def next_histories(self) -> frozenset[str]:
        """The few executions whose history was read longest ago; they go to the end of the queue."""
        chosen = list(self._counts)[:HISTORIES_PER_POLL]
        for arn in chosen:
            self._counts[arn] = self._counts.pop(arn)
        return frozenset(chosen)
