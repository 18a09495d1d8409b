"""Ends of executions as EventBridge tells them: "Step Functions Execution Status Change" events in the stack's queue.

Those who receive from one queue compete for its messages: two triggerers, two Airflows. So a message is deleted only by
who waits for its execution; anybody else hands it back. Events are best effort (lost, late, twice): what is heard here
makes a watcher look, and only what DescribeExecution says then counts.
https://docs.aws.amazon.com/step-functions/latest/dg/eventbridge-integration.html
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from typing import Final

from stepbridge.aws.sqs import Message, Sqs
from stepbridge.core.statuses import EXECUTION_STATUSES
from stepbridge.errors import AwsError, EndpointUnreachableError, ServiceUnavailableError, ThrottlingError
from stepbridge.triggers.poll_interval import backoff_seconds, hand_back_seconds

__all__ = ["EndEventReceiver", "ended_execution"]

log = logging.getLogger(__name__)

WAIT_SECONDS: Final = 10
"""How long a call waits for a message: six calls a minute while nothing ends. The stop of a listener does not wait."""

HIDDEN_SECONDS: Final = 5
"""For how long nobody else receives a message whose receiver died before it could delete it or hand it back."""

OTHERS_TURN_SECONDS: Final = 0.3
"""After a message was handed back at once, so that another receiver gets it, and not this one again."""

RETRY_SECONDS: Final = 60.0
"""When a queue that is gone, or may not be read, is asked again: somebody may have repaired it."""


def ended_execution(body: str) -> str | None:
    """The ARN of the execution whose end the message tells; None for any other message."""
    try:
        event = json.loads(body)
    except json.JSONDecodeError:
        return None
    detail = event.get("detail") if isinstance(event, dict) else None
    if not isinstance(detail, dict):
        return None
    status, arn = EXECUTION_STATUSES.get(str(detail.get("status"))), detail.get("executionArn")
    return arn if status is not None and status.terminal and isinstance(arn, str) else None


class EndEventReceiver:
    """Receives from ``queue_url``, in a thread of its own, between ``start`` and ``stop``.

    ``tell`` is called in that thread with the ARNs of executions that have ended and of which ``is_waited_for`` says
    that somebody here waits for them; with none when ``hears`` changed. ``connect`` gives the client for each call.

    The thread is a daemon of its own, and not one of asyncio's few: a call of ten seconds holds up neither the
    triggerer's other work nor its end.
    """

    def __init__(
        self,
        queue_url: str,
        connect: Callable[[], Sqs],
        is_waited_for: Callable[[str], bool],
        tell: Callable[[frozenset[str]], None],
    ) -> None:
        self._queue_url = queue_url
        self._connect = connect
        self._is_waited_for = is_waited_for
        self._tell = tell
        self._thread: threading.Thread | None = None
        self._stopped = threading.Event()
        self._failures = 0
        self._hears = False

    @property
    def hears(self) -> bool:
        """Whether the queue answered when it was last asked: else ends have to be looked for."""
        return self._hears

    def start(self) -> None:
        """Begin to receive, if it has not begun."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="execution-ends", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Receive no more; does not wait. What a call brings that is under way is handed back."""
        self._stopped.set()

    def _run(self) -> None:
        try:
            while not self._stopped.is_set():
                try:
                    self._receive()
                except AwsError as fault:
                    self._stopped.wait(self._fell_silent(fault))
        finally:
            self._now_hears(False)

    def _receive(self) -> None:
        sqs = self._connect()
        messages = sqs.receive(self._queue_url, WAIT_SECONDS if self._hears else 0, HIDDEN_SECONDS)
        if self._failures:
            log.info("%s: ends of executions are told again", self._queue_url)
        self._failures = 0
        if self._stopped.is_set():
            self._hand_back(sqs, [(message, 0) for message in messages])
            return
        self._now_hears(True)
        ends = {message: ended_execution(message.body) for message in messages}
        own = {message: arn for message, arn in ends.items() if arn is not None and self._is_waited_for(arn)}
        if own:
            self._tell(frozenset(own.values()))  # first, since what is told twice does no harm
            self._report("deleted", sqs.delete(self._queue_url, [*own]))
        foreign = [message for message in messages if message not in own]
        self._hand_back(sqs, [(message, hand_back_seconds(message.receive_count)) for message in foreign])
        if any(message.receive_count <= 1 for message in foreign):
            self._stopped.wait(OTHERS_TURN_SECONDS)

    def _hand_back(self, sqs: Sqs, messages: list[tuple[Message, int]]) -> None:
        if messages:
            self._report("handed back", sqs.hand_back(self._queue_url, messages))

    def _report(self, what: str, problems: list[str]) -> None:
        """Such a message is received again, or by others later: no harm, but worth a line."""
        for problem in problems:
            log.info("%s: a message was not %s: %s", self._queue_url, what, problem)

    def _fell_silent(self, fault: AwsError) -> float:
        """Seconds after which the queue shall be asked again. One warning, however often it is."""
        self._failures += 1
        if self._failures == 1 and not self._stopped.is_set():
            log.warning("ends of executions are looked for by polling until their queue answers: %s", fault)
        self._now_hears(False)
        passing = isinstance(fault, ThrottlingError | ServiceUnavailableError | EndpointUnreachableError)
        return min(backoff_seconds(self._failures), RETRY_SECONDS) if passing else RETRY_SECONDS

    def _now_hears(self, hears: bool) -> None:
        if hears != self._hears:
            self._hears = hears
            self._tell(frozenset())
