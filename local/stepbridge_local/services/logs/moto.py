"""CloudWatch Logs, written to in process."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence

from moto.logs.models import logs_backends
from moto.logs.responses import LogsResponse

from stepbridge_local.protocols import Scope
from stepbridge_local.services.moto.replacement import replace

__all__ = ["MotoLogSink", "install"]


class MotoLogSink:
    """The ``LogSink`` on moto's Logs. Thread safe: moto itself numbers and appends events without a lock.

    Timestamps never run backwards, so that readers, who see events in the order of their timestamps, see the order in
    which they were written.
    """

    def __init__(self) -> None:
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
