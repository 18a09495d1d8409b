"""EventBridge's "Step Functions Execution Status Change" events, delivered to the targets of the rules they match.

https://docs.aws.amazon.com/step-functions/latest/dg/eventbridge-integration.html
"""

from __future__ import annotations

import copy
import json
import logging
import sys
import threading
import uuid
from datetime import UTC, datetime
from queue import SimpleQueue
from typing import Any, Final

from moto.core.exceptions import ServiceException

from stepbridge_local.services.stepfunctions.moto.executions import Execution

__all__ = ["StatusChanges", "status_change"]

DETAIL_TYPE: Final = "Step Functions Execution Status Change"
MAXIMUM_ESCAPED_BYTES: Final = 248 * 1024  # of input and output in one event
_log = logging.getLogger(__name__)


def status_change(execution: Execution) -> dict[str, Any]:
    """The event with the current status of the execution. Times are milliseconds since the epoch."""
    machine = execution.state_machine
    reason = execution.not_redrivable_reason()
    output_size = _escaped_size(execution.output)
    with_output = output_size <= MAXIMUM_ESCAPED_BYTES
    with_input = _escaped_size(execution.execution_input) + (output_size if with_output else 0) <= MAXIMUM_ESCAPED_BYTES
    detail = {
        "executionArn": execution.execution_arn,
        "stateMachineArn": machine.arn,
        "stateMachineVersionArn": machine.version_arn,
        "stateMachineAliasArn": machine.alias_arn,
        "name": execution.name,
        "status": execution.status,
        "startDate": _milliseconds(execution.start_date),
        "stopDate": _milliseconds(execution.stop_date),
        "input": execution.execution_input if with_input else None,
        "inputDetails": {"included": with_input},
        "output": execution.output if with_output else None,
        "outputDetails": None if execution.output is None else {"included": with_output},
        "error": execution.error,
        "cause": execution.cause,
        "redriveCount": execution.redrive_count,
        "redriveDate": _milliseconds(execution.redrive_date),
        "redriveStatus": "REDRIVABLE" if reason is None else "NOT_REDRIVABLE",
        "redriveStatusReason": reason,
    }
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": DETAIL_TYPE,
        "source": "aws.states",
        "account": execution.account_id,
        "time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": execution.region_name,
        "resources": [execution.execution_arn],
        "detail": detail,
    }


def _escaped_size(text: str | None) -> int:
    return 0 if text is None else len(json.dumps(text, ensure_ascii=False).encode())


def _milliseconds(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp() * 1000)


class StatusChanges:
    """Delivers events in the order of the changes, in its own thread, so no execution waits for a delivery."""

    def __init__(self) -> None:
        self._events: SimpleQueue[dict[str, Any]] = SimpleQueue()
        self._delivering = threading.Lock()
        self._thread: threading.Thread | None = None

    def announce(self, execution: Execution) -> None:
        """Send an event with the current status of the execution. Express workflows send none."""
        # The request that creates a rule imports moto's EventBridge. To import it here would take a third of a second.
        if execution.state_machine.type == "EXPRESS" or "moto.events.models" not in sys.modules:
            return
        self._events.put(status_change(execution))
        with self._delivering:
            if self._thread is None:
                self._thread = threading.Thread(target=self._deliver, name="status-changes", daemon=True)
                self._thread.start()

    def _deliver(self) -> None:
        while True:
            event = self._events.get()
            for rule, target in _matching(event):
                try:
                    _send(rule, target, event)
                except (ServiceException, NotImplementedError) as error:
                    # EventBridge silently drops events that it cannot deliver. Here there is at least a log message.
                    _log.warning("%s: the event was not delivered to %s: %s", rule.arn, target["Arn"], error)


def _matching(event: Any) -> list[tuple[Any, dict[str, Any]]]:
    """The targets of the default bus's enabled rules that the event matches, each with its rule."""
    from moto.events.models import events_backends  # imported already: see ``announce``

    bus = events_backends[event["account"]][event["region"]].event_buses["default"]
    return [
        (rule, target)
        for rule in list(bus.rules.values())
        if rule.state == "ENABLED" and rule.event_pattern.get_pattern() and rule.event_pattern.matches_event(event)
        for target in list(rule.targets)
    ]


def _send(rule: Any, target: dict[str, Any], event: dict[str, Any]) -> None:
    """Send the event to one target.

    An SQS queue gets the whole event, which moto's template for events without a transformer would cut and change.
    Raises ServiceException where the target is not there, NotImplementedError for one that moto does not have.
    """
    from moto.sqs.models import sqs_backends

    arn = target["Arn"].split(":")
    transformed = {"Input", "InputPath", "InputTransformer"} & target.keys()
    if arn[2] == "sqs" and not transformed:
        sqs_backends[arn[4]][arn[3]].send_message(
            queue_name=arn[5],
            message_body=json.dumps(event, ensure_ascii=False),
            group_id=target.get("SqsParameters", {}).get("MessageGroupId"),
            deduplication_id=event["id"] if arn[5].endswith(".fifo") else None,
        )
        return
    if transformed & {"Input", "InputPath"}:
        raise NotImplementedError("Input and InputPath of targets; use InputTransformer")
    seconds = datetime.fromisoformat(event["time"]).timestamp()
    alone = copy.copy(rule)
    alone.targets = [target]
    alone.send_to_targets(copy.deepcopy(event) | {"time": seconds, "ingestion-time": seconds})
