"""An execution of a state machine: it starts, stops, ends, and after a redrive continues under the same ARN."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final

from moto.stepfunctions.parser.api import ExecutionStatus, HistoryEventType, StateMachineType
from moto.stepfunctions.parser.asl.component.program.program import Program
from moto.stepfunctions.parser.asl.eval.environment import Environment
from moto.stepfunctions.parser.asl.eval.evaluation_details import AWSExecutionDetails
from moto.stepfunctions.parser.asl.eval.event.event_manager import EventHistoryContext
from moto.stepfunctions.parser.asl.eval.program_state import ProgramEnded, ProgramError, ProgramStopped, ProgramTimedOut
from moto.stepfunctions.parser.asl.parse.asl_parser import AmazonStateLanguageParser
from moto.stepfunctions.parser.utils import TMP_THREADS

from stepbridge_local.fault_injection.execution_time import Pace
from stepbridge_local.persistence.executions import ExecutionRecords
from stepbridge_local.protocols import LogSink
from stepbridge_local.services.moto.api_errors import ApiError
from stepbridge_local.services.stepfunctions.moto.distributed_map import attach_settings
from stepbridge_local.services.stepfunctions.moto.environment import LocalEventManager, event_details
from stepbridge_local.services.stepfunctions.moto.execution_logs import logging_session
from stepbridge_local.services.stepfunctions.moto.preprocessor import for_the_parser
from stepbridge_local.services.stepfunctions.moto.queries import iso_timestamp
from stepbridge_local.services.stepfunctions.moto.redrive import set_program_run
from stepbridge_local.services.stepfunctions.program_run import Checkpoint, ProgramRun, run_from_record, run_to_record
from stepbridge_local.services.stepfunctions.state_machine_snapshot import StateMachineSnapshot

__all__ = ["Execution", "ExecutionServices", "parse_definition"]

STOPPING_SECONDS: Final = 5.0  # StopExecution answers once the execution has ended, or after this time
REDRIVABLE_DAYS: Final = 14
REDRIVABLE_EVENTS: Final = 24_999
_RESULTS: Final = ("output", "error", "cause", "redrive_count")
_DATES: Final = ("start_date", "stop_date", "redrive_date")
UNSUCCESSFUL: Final = frozenset({ExecutionStatus.FAILED, ExecutionStatus.TIMED_OUT, ExecutionStatus.ABORTED})


@lru_cache(maxsize=256)
def parse_definition(definition: str) -> Program:
    """The program of a definition. It is cached, because parsing takes a tenth of a second and it has no state."""
    program = AmazonStateLanguageParser.parse(for_the_parser(definition))[0]
    if not isinstance(program, Program):
        raise TypeError(f"not a state machine but {type(program).__name__}")
    attach_settings(program, json.loads(definition))
    return program


@dataclass(frozen=True)
class ExecutionServices:
    """The services of an execution. ``announce`` is called for each status change; ``pace`` is how fast it waits."""

    records: ExecutionRecords
    logs: LogSink
    announce: Callable[[Execution], None]
    pace: Pace
    activities: Callable[[str, str], Any]  # of an account and region, by their ARNs


class Execution:
    """An execution. Attributes that moto's own code reads keep moto's names."""

    def __init__(
        self,
        arn: str,
        name: str,
        account_id: str,
        region: str,
        state_machine: StateMachineSnapshot,
        execution_input: str,
        trace_header: str | None,
        services: ExecutionServices,
    ) -> None:
        self.execution_arn = self.exec_arn = arn
        self.name = name
        self.account_id = account_id
        self.region_name = region
        self.state_machine = state_machine
        self.state_machine_arn = state_machine.arn
        self.execution_input = execution_input
        self.trace_header = trace_header
        self.start_date = datetime.now(UTC)
        self.stop_date: datetime | None = None
        self.exec_status = ExecutionStatus.RUNNING
        self.output: str | None = None
        self.error: str | None = None
        self.cause: str | None = None
        self.redrive_count = 0
        self.redrive_date: datetime | None = None
        self._redrive_tokens: dict[str, datetime] = {}
        self._lock = threading.RLock()
        self._ended = threading.Event()
        self._services = services
        self._program_run = ProgramRun()
        self._kept_checkpoint: Checkpoint | None = None
        self._events: LocalEventManager | None = None
        self._env: Environment | None = None

    @classmethod
    def restored(cls, record: Mapping[str, Any], services: ExecutionServices) -> Execution:
        """An execution that ended before the restart. Its history is read on request."""
        execution = cls(
            record["arn"],
            record["name"],
            record["account_id"],
            record["region"],
            StateMachineSnapshot.from_record(record["state_machine"]),
            record["input"],
            record["trace_header"],
            services,
        )
        dates = {name: record[name] and datetime.fromisoformat(record[name]) for name in _DATES}
        vars(execution).update({name: record[name] for name in _RESULTS} | dates)
        execution.exec_status = ExecutionStatus(record["status"])
        execution._redrive_tokens = {
            token: datetime.fromisoformat(date) for token, date in record["redrive_tokens"].items()
        }
        execution._program_run = run_from_record(services.records.checkpoint(record["arn"]))
        execution._ended.set()
        return execution

    @property
    def events(self) -> LocalEventManager:
        """The history."""
        if self._events is None:
            earlier = self._services.records.events(self.execution_arn)
            self._events = LocalEventManager(
                self._services.pace, self._logging_session(), earlier=earlier, keep=self._keep_event
            )
        return self._events

    @property
    def env(self) -> Environment:
        """The environment of the current run."""
        if self._env is None:
            self._env = self._new_environment()
        return self._env

    @property
    def map_runs(self) -> list[Any]:
        """moto's records of the Map runs since the last start or redrive."""
        return [] if self._env is None else list(self._env.map_run_record_pool_manager.get_all())

    @property
    def status(self) -> str:
        return str(self.exec_status.value)

    @property
    def exec_worker(self) -> Execution:
        """moto reaches the environment through its worker."""
        return self

    # --- running ------------------------------------------------------------------------------------------------------
    def start(self) -> None:
        """Begin, in a separate thread."""
        self._services.records.add(self._record(self.exec_status))
        self._add_event(
            HistoryEventType.ExecutionStarted,
            executionStartedEventDetails={
                "input": self.execution_input,
                "inputDetails": {"truncated": False},
                "roleArn": self.state_machine.role_arn,
            },
        )
        self._services.announce(self)
        self._run()

    def stop(self, error: str | None = None, cause: str | None = None, **_moto: Any) -> datetime:
        """End the execution and everything that it waits for; no effect if it has ended. Returns the stop date."""
        with self._lock:
            if self._ended.is_set() and self.stop_date is not None:
                return self.stop_date
            self.env.set_stop(stop_date=datetime.now(UTC), cause=cause, error=error)
        self._ended.wait(STOPPING_SECONDS)
        return self.stop_date or datetime.now(UTC)

    def wait(self, seconds: float) -> None:
        """Wait for the end. After ``seconds`` the execution times out."""
        if not self._ended.wait(seconds):
            self.env.set_timed_out()
            self._ended.wait()

    def callback(self, token: str) -> Any:
        """What waits for a task token, or has waited for it since the last start or redrive. None if it is unknown."""
        return None if self._env is None else self._env.callback_pool_manager.get(token)

    def redrive(self, client_token: str | None) -> datetime:
        """Continue from the unsuccessful states and return the date. Raises ExecutionNotRedrivable."""
        with self._lock:
            if client_token is not None and client_token in self._redrive_tokens:
                return self._redrive_tokens[client_token]
            if (reason := self.not_redrivable_reason()) is not None:
                raise ApiError("ExecutionNotRedrivable", reason)
            self._ended.clear()
            self.redrive_count += 1
            self.redrive_date = datetime.now(UTC)
            if client_token is not None:
                self._redrive_tokens[client_token] = self.redrive_date
            self.stop_date = self.output = self.error = self.cause = None
            self._program_run.redrive()
            self._events = LocalEventManager(
                self._services.pace, self._logging_session(), previous=self.events, keep=self._keep_event
            )
            self._env = self._new_environment()
            self.exec_status = ExecutionStatus.RUNNING
            self._keep_record(self.exec_status)
            self._add_event(
                HistoryEventType.ExecutionRedriven, executionRedrivenEventDetails={"redriveCount": self.redrive_count}
            )
            self._services.announce(self)
            self._run()
            return self.redrive_date

    def not_redrivable_reason(self) -> str | None:
        """Why RedriveExecution would be refused now, or None."""
        if self.state_machine.type == StateMachineType.EXPRESS:
            return "Express state machine executions cannot be redriven"
        if self.exec_status not in UNSUCCESSFUL:
            return f"Execution is {self.status} and cannot be redriven"
        if self.events.last_event_id > REDRIVABLE_EVENTS:
            return "Execution event history limit exceeded"
        if self.stop_date is not None and datetime.now(UTC) - self.stop_date > timedelta(days=REDRIVABLE_DAYS):
            return f"Execution has exceeded the redrivable period of {REDRIVABLE_DAYS} days"
        return None

    def _run(self) -> None:
        thread = threading.Thread(target=self._evaluate, args=(self.env, self.events), name=self.name, daemon=True)
        thread.start()
        TMP_THREADS[:] = [kept for kept in TMP_THREADS if kept.is_alive()]  # moto keeps every thread for ever

    def _evaluate(self, env: Environment, events: LocalEventManager) -> None:
        set_program_run(env, self._program_run)
        parse_definition(self.state_machine.definition).eval(env)
        events.close()
        with self._lock:
            status = self._take_over_end(env)
            try:
                self._keep_record(status)
            finally:
                self.exec_status = status  # last, so that everyone who sees the end also sees the output
                self._services.announce(self)
                self._ended.set()

    def _take_over_end(self, env: Environment) -> ExecutionStatus:
        """Store output, error and cause of the run, and return its final status."""
        state = env.program_state()
        self.stop_date = datetime.now(UTC)
        status = ExecutionStatus.TIMED_OUT
        if isinstance(state, ProgramEnded):
            status = ExecutionStatus.SUCCEEDED
            self.output = json.dumps(env.states.get_input(), separators=(",", ":"))
        elif isinstance(state, ProgramStopped):
            status, self.error, self.cause = ExecutionStatus.ABORTED, state.error, state.cause
        elif isinstance(state, ProgramError):
            status = ExecutionStatus.FAILED
            details = state.error or {}
            self.error, self.cause = details.get("error"), details.get("cause")
        elif not isinstance(state, ProgramTimedOut):
            raise RuntimeError(f"{self.execution_arn}: the interpreter ended in the state {state!r}")
        return status

    # --- keeping ------------------------------------------------------------------------------------------------------
    def _record(self, status: ExecutionStatus) -> dict[str, Any]:
        return {
            "arn": self.execution_arn,
            "state_machine_arn": self.state_machine_arn,
            "status": status.value,
            "name": self.name,
            "account_id": self.account_id,
            "region": self.region_name,
            "state_machine": self.state_machine.to_record(),
            "input": self.execution_input,
            "trace_header": self.trace_header,
            "redrive_tokens": {token: date.isoformat() for token, date in self._redrive_tokens.items()},
            **{name: vars(self)[name] for name in _RESULTS},
            **{name: vars(self)[name] and vars(self)[name].isoformat() for name in _DATES},
        }

    def _keep_record(self, status: ExecutionStatus) -> None:
        self._services.records.update(self._record(status), run_to_record(self._program_run, with_branches=True))

    def _keep_event(self, event: Mapping[str, Any]) -> None:
        """Store the event and the checkpoint for a redrive. Branches, which may be many, are stored only at the end."""
        self._services.records.add_event(self.execution_arn, {**event, "type": event["type"].value})
        checkpoint = self._program_run.checkpoint
        if checkpoint is not self._kept_checkpoint:
            self._kept_checkpoint = checkpoint
            run = run_to_record(self._program_run, with_branches=False)
            self._services.records.put_checkpoint(self.execution_arn, run)

    def _logging_session(self) -> Any:
        configuration = self.state_machine.configurations["loggingConfiguration"]
        return logging_session(self._services.logs, configuration or {}, self.execution_arn)

    def _add_event(self, event_type: HistoryEventType, **details: Any) -> None:
        self.events.add_event(
            context=self.env.event_history_context,
            event_type=event_type,
            event_details=event_details(**details),
            update_source_event_id=False,
        )

    def _new_environment(self) -> Environment:
        machine = self.state_machine
        execution: dict[str, Any] = {
            "Id": self.execution_arn,
            "Input": json.loads(self.execution_input),
            "Name": self.name,
            "RoleArn": machine.role_arn,
            "StartTime": iso_timestamp(self.start_date),
            "RedriveCount": self.redrive_count,
        }
        if self.redrive_date is not None:
            execution["RedriveTime"] = iso_timestamp(self.redrive_date)
        context: Any = {"Execution": execution, "StateMachine": {"Id": machine.arn, "Name": machine.name}}
        env = Environment(
            aws_execution_details=AWSExecutionDetails(
                account=self.account_id, region=self.region_name, role_arn=machine.role_arn
            ),
            execution_type=StateMachineType(machine.type),
            context=context,
            event_history_context=EventHistoryContext(previous_event_id=self.events.last_event_id),
            cloud_watch_logging_session=None,
            activity_store=self._services.activities(self.account_id, self.region_name),
        )
        env.event_manager = self.events
        # It counts as running from now on, so that a stop is never too early.
        env.next_state_name = parse_definition(machine.definition).start_at.start_at_name
        return env
