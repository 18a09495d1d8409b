"""The log stream of one container: lines as they come, written to CloudWatch Logs in small batches."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Condition, Thread
from types import TracebackType

from stepbridge_local.protocols import LogSink, Scope, ServiceError

__all__ = ["BATCH_SECONDS", "LOG_GROUP", "LogStream"]

LOG_GROUP = "/aws/sagemaker/ProcessingJobs"
BATCH_SECONDS = 0.1
_MAX_WAITING_LINES = 10_000  # the limit of PutLogEvents; if more lines wait, the container is blocked
_MAX_EVENT_BYTES = 262_118  # CloudWatch Logs' 256 KiB less the 26 bytes it counts for each event


class LogStream:
    """Writes lines to the stream ``name`` of the group of processing jobs, at most every ``BATCH_SECONDS``.

    ``write`` can be called from any thread until ``close``, which returns when everything is written. A ServiceError of
    the sink ends the stream. Later lines are dropped, so the container continues, and ``close`` raises the error.
    """

    def __init__(self, sink: LogSink, scope: Scope, name: str) -> None:
        self._sink = sink
        self._scope = scope
        self._name = name
        self._changed = Condition()
        self._waiting: list[str] = []
        self._closed = False
        self._error: ServiceError | None = None
        self._running = True
        self._thread = Thread(target=self._pump, name=f"log-{name}", daemon=True)
        self._thread.start()

    def __enter__(self) -> LogStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def write(self, line: str) -> None:
        """Write a line (without its line end). Blocks while too many lines are waiting."""
        with self._changed:
            self._changed.wait_for(lambda: not self._running or len(self._waiting) < _MAX_WAITING_LINES)
            if self._running:
                self._waiting.extend(_events(line))
                self._changed.notify_all()

    def close(self) -> None:
        """Write the rest and end the stream. Idempotent. Raises the error of the sink."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()
        if self._error is not None:
            raise self._error

    def _pump(self) -> None:
        try:
            while batch := self._next_batch():
                self._sink.write(self._scope, LOG_GROUP, self._name, batch)
        except ServiceError as error:
            self._error = error
        finally:  # whatever ended the thread, no container must wait for this stream for ever
            with self._changed:
                self._running = False
                self._changed.notify_all()

    def _next_batch(self) -> list[str]:
        """The lines to write next, when there are some. None if the stream is closed and everything is written."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            self._changed.wait_for(lambda: self._closed or len(self._waiting) >= _MAX_WAITING_LINES, BATCH_SECONDS)
            batch, self._waiting = self._waiting, []
            self._changed.notify_all()
            return batch


def _events(line: str) -> Iterator[str]:
    """The line as log events; one that is longer than CloudWatch Logs allows becomes several."""
    if len(line) * 4 <= _MAX_EVENT_BYTES or len(line.encode(errors="replace")) <= _MAX_EVENT_BYTES:
        yield line
        return
    step = _MAX_EVENT_BYTES // 4  # no character takes more than four bytes
    for start in range(0, len(line), step):
        yield line[start : start + step]
