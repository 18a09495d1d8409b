"""The executions that a distributed Map starts, one for each item or batch."""

from __future__ import annotations

import copy
import json
import threading
import uuid
from datetime import UTC, datetime
from typing import Any, Final

from moto.stepfunctions.parser.api import HistoryEventType
from moto.stepfunctions.parser.asl.component.program.program import Program
from moto.stepfunctions.parser.asl.eval.environment import Environment
from moto.stepfunctions.parser.asl.eval.event.event_manager import EventHistoryContext
from moto.stepfunctions.parser.asl.eval.program_state import ProgramEnded, ProgramError, ProgramStopped

from stepbridge_local.fault_injection.execution_time import Pace
from stepbridge_local.services.stepfunctions.map_results import ChildResult
from stepbridge_local.services.stepfunctions.moto.environment import LocalEventManager, event_details
from stepbridge_local.services.stepfunctions.moto.queries import iso_timestamp
from stepbridge_local.services.stepfunctions.moto.redrive import set_program_run
from stepbridge_local.services.stepfunctions.program_run import ProgramRun

__all__ = ["CHILDREN", "ChildExecution"]

CHILDREN: Final = "stepbridge_children"  # of moto's MapRunRecord
_ENDED: Final = {
    "SUCCEEDED": HistoryEventType.ExecutionSucceeded,
    "FAILED": HistoryEventType.ExecutionFailed,
    "TIMED_OUT": HistoryEventType.ExecutionTimedOut,
    "ABORTED": HistoryEventType.ExecutionAborted,
}


class ChildExecution:
    """One of them. ``items`` is how many items it has. Its history is kept in memory, as long as its parent."""

    def __init__(
        self,
        parent: Environment,
        record: Any,
        run: ProgramRun,
        index: int,
        child_input: Any,
        items: int,
        is_express: bool,
        pace: Pace,
    ) -> None:
        self.items = items
        self.status = "PENDING_REDRIVE" if run.redriven else "PENDING"
        self.name = str(uuid.uuid4())
        self.state_machine_arn = str(record.map_state_machine_arn)
        kind = "express" if is_express else "execution"
        self.arn = f"{self.state_machine_arn.replace(':stateMachine:', f':{kind}:')}:{self.name}"
        self.events = LocalEventManager(pace)
        self.start_date = datetime.now(UTC)
        self.stop_date: datetime | None = None
        self.input = child_input
        self.output: Any = None
        self.error: str | None = None
        self.cause: str | None = None
        self._parent = parent
        self._record = record
        self._run = run
        self._index = index
        self._frame: Environment | None = None
        self._lock = threading.Lock()
        self._stopped = False

    @property
    def started(self) -> bool:
        return self._frame is not None or self.stop_date is not None

    def take_over_finished(self) -> bool:
        """Whether the child succeeded before a redrive, so that it does not run again."""
        if self._run.finished:
            self._count("pending", -1)
            self._end("SUCCEEDED", self._run.output)
        return self._run.finished

    def run(self, program: Program) -> str:
        """Run to the end and return the status."""
        frame = self._begin()
        if frame is None:
            return self.status
        self._count("pending", -1)
        self._count("running", 1)
        program.eval(frame)
        self._parent.delete_frame(frame)
        self._count("running", -1)
        state = frame.program_state()
        if isinstance(state, ProgramEnded):
            output = frame.states.get_input()
            self._run.finish(output)
            self._end("SUCCEEDED", output)
        elif isinstance(state, ProgramError):
            details = state.error or {}
            self.error, self.cause = details.get("error"), details.get("cause")
            self._end("FAILED")
        else:
            self._end("ABORTED" if isinstance(state, ProgramStopped) or self._stopped else "TIMED_OUT")
        return self.status

    def stop(self) -> None:
        """End it, or never begin, because too many of its siblings have failed."""
        with self._lock:
            self._stopped = True
            if self._frame is not None:
                self._frame.set_stop(stop_date=datetime.now(UTC), cause=None, error=None)

    def result(self) -> ChildResult:
        """How it ended, as ResultWriter writes it."""
        metadata: dict[str, Any] = {
            "ExecutionArn": self.arn,
            "Input": _json(self.input),
            "InputDetails": {"Included": True},
            "Name": self.name,
            "RedriveCount": 0,
            "RedriveStatus": "NOT_REDRIVABLE" if self.status == "SUCCEEDED" else "REDRIVABLE_BY_MAP_RUN",
            "StartDate": iso_timestamp(self.start_date),
            "StateMachineArn": self.state_machine_arn,
            "Status": self.status,
            "StopDate": iso_timestamp(self.stop_date),
        }
        if self.status == "SUCCEEDED":
            reason = "Execution is SUCCEEDED and cannot be redriven"
            metadata |= {"Output": _json(self.output), "OutputDetails": {"Included": True}}
            metadata["RedriveStatusReason"] = reason
        told = {"Error": self.error, "Cause": self.cause}
        metadata |= {name: value for name, value in told.items() if value is not None}
        return ChildResult(self.status, self.output, dict(sorted(metadata.items())))

    # --- beginning and ending -----------------------------------------------------------------------------------------
    def _begin(self) -> Environment | None:
        with self._lock:
            if self._stopped:
                return None
            frame = self._parent.open_inner_frame(EventHistoryContext(previous_event_id=0))
            self._frame = frame
        self.start_date = datetime.now(UTC)
        self.status = "RUNNING"
        frame.event_manager = self.events
        context: dict[str, Any] = frame.states.context_object.context_object_data  # type: ignore[assignment]
        role_arn = self._parent.aws_execution_details.role_arn
        context["Execution"] = {
            "Id": self.arn,
            "Input": copy.deepcopy(self.input),
            "Name": self.name,
            "RoleArn": role_arn,
            "StartTime": iso_timestamp(self.start_date),
            "RedriveCount": 0,
        }
        context["StateMachine"] = {"Id": self.state_machine_arn, "Name": self.state_machine_arn.split(":", 6)[6]}
        context["Map"] = {"Item": {"Index": self._index, "Value": copy.deepcopy(self.input)}}
        frame.states.reset(self.input)
        frame.stack = [frame.states.get_input()]
        set_program_run(frame, self._run)
        self._add_event(
            HistoryEventType.ExecutionStarted,
            executionStartedEventDetails={
                "input": _json(self.input),
                "inputDetails": {"truncated": False},
                "roleArn": role_arn,
            },
        )
        return frame

    def _end(self, status: str, output: Any = None) -> None:
        self.output = output
        self.stop_date = datetime.now(UTC)
        self.status = status
        self._count(status.lower(), 1)
        failure = {name: value for name, value in (("error", self.error), ("cause", self.cause)) if value is not None}
        details: dict[str, Any] = {"executionFailedEventDetails": failure} if failure else {}
        if status == "SUCCEEDED":
            details = {
                "executionSucceededEventDetails": {"output": _json(output), "outputDetails": {"truncated": False}}
            }
        self._add_event(_ENDED[status], **details)

    def _count(self, counter: str, number: int) -> None:
        getattr(self._record.execution_counter, counter).offset(number)
        getattr(self._record.item_counter, counter).offset(number * self.items)

    def _add_event(self, event_type: HistoryEventType, **details: Any) -> None:
        context = EventHistoryContext(previous_event_id=0) if self._frame is None else self._frame.event_history_context
        self.events.add_event(context=context, event_type=event_type, event_details=event_details(**details))


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
