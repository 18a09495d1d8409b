"""Corrects the evaluation of programs and states where moto's interpreter differs from Step Functions.

It replaces: entering and leaving a state (context object, aborted events, redrive), a task's timeout (which ends at
once with the execution), Choice without a match, and waiting.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from datetime import UTC, datetime
from typing import Any, Final, cast

from moto.stepfunctions.parser.api import (
    HistoryEventType,
)
from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import FailureEventException
from moto.stepfunctions.parser.asl.component.common.timeouts.timeout import EvalTimeoutError
from moto.stepfunctions.parser.asl.component.eval_component import EvalComponent
from moto.stepfunctions.parser.asl.component.program.program import Program
from moto.stepfunctions.parser.asl.component.state.choice.state_choice import StateChoice
from moto.stepfunctions.parser.asl.component.state.exec.execute_state import ExecutionState
from moto.stepfunctions.parser.asl.component.state.exec.state_map.items.items import ItemsJSONata
from moto.stepfunctions.parser.asl.component.state.exec.state_map.state_map import StateMap
from moto.stepfunctions.parser.asl.component.state.exec.state_parallel.state_parallel import StateParallel
from moto.stepfunctions.parser.asl.component.state.exec.state_task.state_task import StateTask
from moto.stepfunctions.parser.asl.component.state.state import CommonStateField
from moto.stepfunctions.parser.asl.component.state.wait.state_wait import StateWait
from moto.stepfunctions.parser.asl.component.state.wait.wait_function.timestamp import Timestamp
from moto.stepfunctions.parser.asl.component.state.wait.wait_function.wait_function import WaitFunction
from moto.stepfunctions.parser.asl.eval.environment import Environment
from moto.stepfunctions.parser.asl.utils.json_path import NoSuchJsonPathError

from stepbridge_local.fault_injection.execution_time import Alarm
from stepbridge_local.services.moto.replacement import replace
from stepbridge_local.services.stepfunctions.moto.environment import add_event, on_end, time_of, wait_while_running
from stepbridge_local.services.stepfunctions.moto.errors import as_json, query_failure, task_failure, type_name
from stepbridge_local.services.stepfunctions.moto.queries import commit_assignments, discard_assignments, iso_timestamp
from stepbridge_local.services.stepfunctions.moto.redrive import (
    begin_program,
    enter_state,
    program_run,
    set_program_run,
)

__all__ = ["install"]

# The history event of a state that is aborted. Other states take no time.
_ABORTED_EVENTS: Final[Mapping[type, HistoryEventType]] = {
    StateTask: HistoryEventType.TaskStateAborted,
    StateParallel: HistoryEventType.ParallelStateAborted,
    StateMap: HistoryEventType.MapStateAborted,
    StateWait: HistoryEventType.WaitStateAborted,
}
UNWINDING_SECONDS: Final = 5.0  # how long a timed out execution waits for its thread to write its last event


# --- a program: the whole state machine, a branch or an iteration -----------------------------------------------------
def _evaluate_program(self: Program, env: Environment) -> None:
    """Run the program to its end; past its TimeoutSeconds the environment, and all below it, is timed out."""
    begin_program(env, self.start_at.start_at_name)
    if self.timeout_seconds is None:
        _evaluate_run(self, env)
        return
    with time_of(env).alarm(self.timeout_seconds.timeout_seconds) as ended:
        worker = threading.Thread(target=_evaluate_run, args=(self, env, ended), daemon=True)
        worker.start()
        if ended.wait():
            return
        with env._state_mutex:
            if env.is_running():
                env.set_timed_out()
    worker.join(UNWINDING_SECONDS)


def _evaluate_run(program: Program, env: Environment, ended: Alarm | None = None) -> None:
    try:
        with time_of(env).program_run():
            EvalComponent.eval(program, env)
    finally:
        if ended is not None:
            ended.set()


# --- a state ----------------------------------------------------------------------------------------------------------
def _evaluate_state(self: CommonStateField, env: Environment) -> None:
    """Enter, evaluate and exit the state, with the events, context object and variables of AWS."""
    discard_assignments(env)
    continued = enter_state(env, self.name)
    if not (continued and isinstance(self, ExecutionState)):  # a redrive schedules a task anew without entering again
        add_event(
            env, self.state_entered_event_type, stateEnteredEventDetails=self._get_state_entered_event_details(env)
        )
    entered: dict[str, Any] = {"EnteredTime": iso_timestamp(), "Name": self.name}
    if isinstance(self, ExecutionState):  # only what can be retried has a count
        entered["RetryCount"] = 0
    env.states.context_object.context_object_data["State"] = cast("Any", entered)
    tells_itself = isinstance(self, StateTask | StateMap)  # of a failure in an attempt, but of none in its Output
    try:
        self._eval_state_input(env=env)
        self._eval_state(env)
        tells_itself = False
        if not env.is_running():
            _add_aborted_event(self, env)
            return
        self._eval_state_output(env=env)
    except NoSuchJsonPathError as error:
        raise _path_failure(env, error) from error
    except FailureEventException as failure:
        if not tells_itself and failure.failure_event.event_type == HistoryEventType.EvaluationFailed:
            details = failure.get_evaluation_failed_event_details()
            add_event(env, HistoryEventType.EvaluationFailed, evaluationFailedEventDetails=details)
        raise
    commit_assignments(env)
    self._verify_size_quota(env=env, value=env.states.get_input())
    self._set_next(env)
    if self.state_exited_event_type is not None:
        add_event(env, self.state_exited_event_type, stateExitedEventDetails=self._get_state_exited_event_details(env))


def _add_aborted_event(state: CommonStateField, env: Environment) -> None:
    for state_class, event_type in _ABORTED_EVENTS.items():
        if isinstance(state, state_class):
            add_event(env, event_type)


def _path_failure(env: Environment, error: NoSuchJsonPathError) -> FailureEventException:
    cause = (
        f"The JSONPath '{error.json_path}' specified for the field '{env.next_field_name}' could not be found in the "
        f"input '{as_json(error.data)}'"
    )
    return task_failure(env, "States.Runtime", cause)


# --- Task, Parallel and Map: an attempt -------------------------------------------------------------------------------
def _evaluate_attempt(self: ExecutionState, env: Environment) -> None:
    """Run one attempt within the state's TimeoutSeconds; returns without a result once the execution has ended."""
    discard_assignments(env)
    self.timeout.eval(env=env)
    timeout_seconds: int = env.stack.pop()
    frame = env.open_frame()
    frame.states.reset(input_value=env.states.get_input())
    frame.stack = copy.deepcopy(env.stack)
    set_program_run(frame, program_run(env))
    outcome: Future[Any] = Future()
    with time_of(env).alarm(timeout_seconds) as settled:
        remove_listener = on_end(env, settled.set)
        outcome.add_done_callback(lambda _: settled.set())
        attempt = threading.Thread(target=_run_attempt, args=(self, frame, outcome), name=f"state {self.name}")
        attempt.daemon = True
        attempt.start()
        settled.wait()
        remove_listener()
        frame.set_ended()
    env.close_frame(frame)
    if not env.is_running():
        return
    if not outcome.done():
        raise EvalTimeoutError
    _take_result(self, env, outcome.result())


def _run_attempt(state: ExecutionState, frame: Environment, outcome: Future[Any]) -> None:
    try:
        state._eval_execution(frame)
        outcome.set_result(frame.stack[-1])
    except BaseException as error:  # noqa: BLE001  handed to the thread that waits for the attempt, which raises it
        outcome.set_exception(error)


def _take_result(state: ExecutionState, env: Environment, result: Any) -> None:
    env.stack.append(result)
    if not state._is_language_query_jsonpath():
        env.states.set_result(result)
    for component in (state.assign_decl, state.result_selector):
        if component is not None:
            component.eval(env=env)
    if state.result_path is not None:
        state.result_path.eval(env)
    else:
        env.states.reset(input_value=env.stack.pop())


# --- Map --------------------------------------------------------------------------------------------------------------
_moto_map: Final = StateMap._eval_execution


def _run_map(self: StateMap, env: Environment) -> None:
    """Refuse an input that is no array where nothing else names the items."""
    if self._is_language_query_jsonpath() and not self.item_reader and self.items_path:
        self.items_path.eval(env)
        items = env.stack.pop()
        if not isinstance(items, list):
            path = getattr(self.items_path.string_sampler, "literal_value", "$")
            raise task_failure(env, "States.Runtime", f'Reference path "{path}" must point to array.')
    elif not (self._is_language_query_jsonpath() or self.items or self.item_reader):
        items = env.states.get_input()
        if not isinstance(items, list):
            raise query_failure(env, f"Map state input must be an array but was: {as_json(items)}")
    _moto_map(self, env)


def _evaluate_items(self: ItemsJSONata, env: Environment) -> None:
    """Replaces ItemsJSONata._eval_body, which writes values of another type as Python does."""
    self.string_jsonata.eval(env=env)
    items = env.stack[-1]
    if not isinstance(items, list):
        cause = (
            f"The JSONata expression '{self.string_jsonata.literal_value}' specified for the field 'Items' returned an "
            f"unexpected result type. Expected 'array', but was '{type_name(items)}' for value: {as_json(items)}"
        )
        raise query_failure(env, cause, "Items")


# --- Choice -----------------------------------------------------------------------------------------------------------
def _choose(self: StateChoice, env: Environment) -> None:
    """Follow the first rule that holds, or the default. Without a default: States.NoChoiceMatched."""
    for rule in self.choices_decl.rules:
        rule.eval(env)
        if env.stack.pop() is True:
            if rule.next_stmt is None:
                raise task_failure(env, "States.Runtime", f"A rule of the Choice state '{self.name}' has no Next.")
            env.stack.append((rule.next_stmt.name, True))
            return
    if self.default_state is None:
        raise task_failure(env, "States.NoChoiceMatched", f"No rule of the Choice state '{self.name}' matched.")
    env.stack.append((self.default_state.state_name, False))


def _follow_choice(self: StateChoice, env: Environment) -> None:
    next_state_name, by_rule = env.stack.pop()
    if not by_rule:
        for component in (self.assign_decl, self.output):
            if component is not None:
                component.eval(env=env)
    if self._is_language_query_jsonpath():
        if self.output_path:
            self.output_path.eval(env=env)
        else:
            env.states.reset(input_value=env.stack.pop())
    env.next_state_name = next_state_name


# --- Wait -------------------------------------------------------------------------------------------------------------
def _wait(self: WaitFunction, env: Environment) -> None:
    wait_while_running(env, self._get_wait_seconds(env=env))


def _moment_of(timestamp: Any) -> datetime | None:
    """The time of an ISO 8601 text with an offset. moto reads it as local time, without its fraction."""
    if not isinstance(timestamp, str) or not Timestamp._is_valid_timestamp_pattern(timestamp):
        return None
    try:
        return datetime.fromisoformat(timestamp)
    except ValueError:
        return None


def _seconds_until(self: Timestamp, env: Environment) -> float:
    self.string.eval(env=env)
    timestamp = env.stack.pop()
    moment = _moment_of(timestamp)
    if moment is None:
        shown = timestamp if isinstance(timestamp, str) else as_json(timestamp)
        raise FailureEventException(self._create_failure_event(env, shown))
    return (moment - datetime.now(UTC)).total_seconds()


def install() -> None:
    """Evaluate programs and states as AWS does."""
    replace(Program, "eval", _evaluate_program)
    replace(CommonStateField, "_eval_body", _evaluate_state)
    replace(ExecutionState, "_evaluate_with_timeout", _evaluate_attempt)
    replace(StateMap, "_eval_execution", _run_map)
    replace(ItemsJSONata, "_eval_body", _evaluate_items)
    replace(StateChoice, "_eval_state", _choose)
    replace(StateChoice, "_eval_state_output", _follow_choice)
    replace(WaitFunction, "_eval_body", _wait)
    replace(Timestamp, "_from_timestamp_string", staticmethod(_moment_of))
    replace(Timestamp, "_get_wait_seconds", _seconds_until)
