"""Ends of executions as EventBridge reports them: "Step Functions Execution Status Change" events in the stack's queue.

All receivers of one queue compete for its messages: two triggerers, two Airflows. So a message is deleted only by the
receiver whose triggers wait for its execution; any other hands it back. Events are best effort (lost, late, twice): an
event only makes a trigger call DescribeExecution, whose answer counts.
https://docs.aws.amazon.com/step-functions/latest/dg/eventbridge-integration.html
"""

import json
import logging
import threading
from collections.abc import Callable
from typing import Final

from stepbridge.aws.sqs import Message, Sqs
from stepbridge.core.statuses import EXECUTION_STATUSES
from stepbridge.errors import TRANSIENT_ERRORS, AwsError
from stepbridge.triggers.poll_interval import backoff_seconds, hand_back_seconds

log = logging.getLogger(__name__)

WAIT_SECONDS: Final = 10
"""How long a call waits for a message: six calls a minute while nothing ends. ``stop`` does not wait for it."""

HIDDEN_SECONDS: Final = 5
"""For how long nobody else receives a message whose receiver died before it could delete it or hand it back."""

HAND_BACK_PAUSE_SECONDS: Final = 0.3
"""Pause after a message was handed back at once, so that another receiver gets it instead of this one again."""

RETRY_SECONDS: Final = 60.0
"""Pause before a queue that is gone, or may not be read, is asked again: somebody may repair it."""


def ended_execution(body: str) -> str | None:
    """The ARN of the execution whose end the message reports; None for any other message."""
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

    ``report`` is called in that thread with the ARNs of executions that ended and that ``is_awaited``; with an empty
    set when ``receives`` changed. ``connect`` returns the client for each call.

    The thread is a daemon and not one of asyncio's few: a call of ten seconds delays neither the triggerer's other work
    nor its end.
    """

    def __init__(
        self,
        queue_url: str,
        connect: Callable[[], Sqs],
        is_awaited: Callable[[str], bool],
        report: Callable[[frozenset[str]], None],
    ) -> None:
        self._queue_url = queue_url
        self._connect = connect
        self._is_awaited = is_awaited
        self._report = report
        self._thread: threading.Thread | None = None
        self._stopped = threading.Event()
        self._failures = 0
        self.receives = False
        """Whether the queue answered the last call; if not, ends have to be found by polling."""

    def start(self) -> None:
        """Begin to receive; does nothing the second time."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="execution-ends", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Receive no more; does not wait. Messages of a call that is under way are handed back."""
        self._stopped.set()

    def _run(self) -> None:
        try:
            while not self._stopped.is_set():
                try:
                    self._receive()
                except AwsError as error:
                    self._stopped.wait(self._pause_seconds(error))
        finally:
            self._set_receives(False)

    def _receive(self) -> None:
        sqs = self._connect()
        messages = sqs.receive(self._queue_url, WAIT_SECONDS if self.receives else 0, HIDDEN_SECONDS)
        if self._failures:
            log.info("%s: ends of executions are received again", self._queue_url)
        self._failures = 0
        if self._stopped.is_set():
            self._hand_back(sqs, [(message, 0) for message in messages])
            return
        self._set_receives(True)
        ends = {message: ended_execution(message.body) for message in messages}
        own = {message: arn for message, arn in ends.items() if arn is not None and self._is_awaited(arn)}
        if own:
            self._report(frozenset(own.values()))  # before the delete, since a second report does no harm
            self._log_problems("deleted", sqs.delete(self._queue_url, [*own]))
        foreign = [message for message in messages if message not in own]
        self._hand_back(sqs, [(message, hand_back_seconds(message.receive_count)) for message in foreign])
        if any(message.receive_count <= 1 for message in foreign):
            self._stopped.wait(HAND_BACK_PAUSE_SECONDS)

    def _hand_back(self, sqs: Sqs, messages: list[tuple[Message, int]]) -> None:
        if messages:
            self._log_problems("handed back", sqs.hand_back(self._queue_url, messages))

    def _log_problems(self, what: str, problems: list[str]) -> None:
        """Such a message is received again, here or by others: no harm, but worth a line in the log."""
        for problem in problems:
            log.info("%s: a message was not %s: %s", self._queue_url, what, problem)

    def _pause_seconds(self, error: AwsError) -> float:
        """Seconds until the queue is asked again. Only the first failure in a row is a warning."""
        self._failures += 1
        if self._failures == 1 and not self._stopped.is_set():
            log.warning("ends of executions are found by polling until their queue answers: %s", error)
        self._set_receives(False)
        transient = isinstance(error, TRANSIENT_ERRORS)
        return min(backoff_seconds(self._failures), RETRY_SECONDS) if transient else RETRY_SECONDS

    def _set_receives(self, receives: bool) -> None:
        if receives != self.receives:
            self.receives = receives
            self._report(frozenset())
