"""Writes execution history to CloudWatch Logs, according to a state machine's logging configuration.

https://docs.aws.amazon.com/step-functions/latest/dg/cw-logs.html
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from moto.stepfunctions.parser.api import HistoryEventType, LogLevel
from moto.stepfunctions.parser.asl.eval.event.logging import is_logging_enabled_for

from stepbridge_local.protocols import LogSink, Scope

__all__ = ["LoggingSession", "logging_session"]

_LOG_GROUP_PARTS: Final = 7  # arn:aws:logs:region:account:log-group:name[:*]


@dataclass(frozen=True)
class _Configuration:
    include_execution_data: bool


class LoggingSession:
    """Writes the events of one execution to its log group, one JSON document per line."""

    def __init__(self, logs: LogSink, level: LogLevel, group_arn: str, execution_arn: str, with_data: bool) -> None:
        parts = group_arn.split(":")
        self._logs = logs
        self._level = level
        self._scope = Scope(account_id=parts[4], region=parts[3])
        self._group = parts[6]
        machine, name = execution_arn.split(":")[6:8]
        self._stream = f"states/{machine}/{datetime.now(UTC):%Y-%m-%d-%H-%M}/{name}"
        self.execution_arn = execution_arn
        self.configuration = _Configuration(include_execution_data=with_data)

    def log_level_filter(self, history_event_type: HistoryEventType) -> bool:
        """Whether events of this type are logged at the configured level."""
        return is_logging_enabled_for(log_level=self._level, history_event_type=history_event_type)

    def publish_history_log(self, history_log: dict[str, Any]) -> None:
        """Write one event."""
        moment = datetime.fromisoformat(str(history_log["event_timestamp"]))
        message = {
            **history_log,
            "type": HistoryEventType(history_log["type"]).value,
            "event_timestamp": str(int(moment.timestamp() * 1000)),
        }
        self._logs.write(self._scope, self._group, self._stream, [json.dumps(message)])


def logging_session(logs: LogSink, configuration: dict[str, Any], execution_arn: str) -> LoggingSession | None:
    """The session of an execution, or None if its state machine does not log."""
    level = LogLevel(configuration.get("level") or LogLevel.OFF)
    group_arns = [
        destination.get("cloudWatchLogsLogGroup", {}).get("logGroupArn", "")
        for destination in configuration.get("destinations") or []
    ]
    group_arn = next((arn for arn in group_arns if len(arn.split(":")) >= _LOG_GROUP_PARTS), None)
    if level == LogLevel.OFF or group_arn is None:
        return None
    return LoggingSession(logs, level, group_arn, execution_arn, bool(configuration.get("includeExecutionData")))
