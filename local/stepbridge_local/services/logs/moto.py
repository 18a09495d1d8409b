"""CloudWatch Logs, written to in process."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from moto.logs import models
from moto.logs.models import LogEvent, logs_backends
from moto.logs.responses import LogsResponse

from stepbridge_local.persistence.messages import Messages, Place
from stepbridge_local.protocols import Scope
from stepbridge_local.services.moto.replacement import replace, with_collaborators

__all__ = ["MotoLogSink", "install"]


class _StoredLogEvent(LogEvent):
    """A log event whose message is in a file: what jobs print is not held in memory."""

    messages: ClassVar[Messages]
    _place: Place

    @property
    def message(self) -> str:
        return self.messages.read(self._place)

    @message.setter
    def message(self, text: str) -> None:
        self._place = self.messages.append(text)


class MotoLogSink:
    """The ``LogSink`` on moto's Logs. Thread safe: moto itself numbers and appends events without a lock.

    Messages, also those that clients put, are in a file of ``folder`` that goes with the process.

    Timestamps never run backwards, so that readers, who see events in the order of their timestamps, see the order in
    which they were written.
    """

    def __init__(self, folder: Path) -> None:
        replace(models, "LogEvent", with_collaborators(_StoredLogEvent, messages=Messages(folder)))
        self._lock = threading.Lock()
        self._last_timestamp_ms = 0

    def write(self, scope: Scope, group: str, stream: str, lines: Sequence[str]) -> None:
        backend = logs_backends[scope.account_id][scope.region]
        with self._lock:
            self._last_timestamp_ms = max(self._last_timestamp_ms, time.time_ns() // 1_000_000)
            backend.ensure_log_group(group)
            backend.ensure_log_stream(group, stream)
            events = [{"timestamp": self._last_timestamp_ms, "message": line} for line in lines]
            backend.put_log_events(group, stream, events)


_moto_filter_log_events = LogsResponse.filter_log_events


def _filter_log_events(response: LogsResponse) -> str:
    """Replaces LogsResponse.filter_log_events, which ignores logStreamNamePrefix and sorts only when asked to.

    See "interleaved" in https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_FilterLogEvents.html
    """
    request = json.loads(response.body) | {"interleaved": True}
    group = response.logs_backend.groups.get(request.get("logGroupName"))
    prefix = request.get("logStreamNamePrefix")
    if group is not None and prefix:
        names = [name for name in list(group.streams) if name.startswith(prefix)]
        request["logStreamNames"] = names or [prefix]  # no names at all would be all streams
    response.body = json.dumps(request)
    answer: str = _moto_filter_log_events(response)
    return answer


def install() -> None:
    """Replace FilterLogEvents."""
    replace(LogsResponse, "filter_log_events", _filter_log_events)
