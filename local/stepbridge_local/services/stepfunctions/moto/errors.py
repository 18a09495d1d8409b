"""Error names, their matching by Retry and Catch, and the delays between retries, as in the States language.

https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html
"""

from __future__ import annotations

import json
from typing import Any, Final

from moto.stepfunctions.parser.api import EvaluationFailedEventDetails, HistoryEventType, TaskFailedEventDetails
from moto.stepfunctions.parser.asl.component.common.error_name.custom_error_name import CustomErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.error_equals_decl import ErrorEqualsDecl
from moto.stepfunctions.parser.asl.component.common.error_name.error_name import ErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import FailureEvent, FailureEventException
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name import StatesErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name_type import StatesErrorNameType
from moto.stepfunctions.parser.asl.component.common.retry.max_attempts_decl import MaxAttemptsOutcome
from moto.stepfunctions.parser.asl.component.common.retry.retrier_decl import RetrierDecl
from moto.stepfunctions.parser.asl.component.common.retry.retrier_outcome import RetrierOutcome
from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration import iteration_worker
from moto.stepfunctions.parser.asl.component.state.exec.state_parallel import branches_decl
from moto.stepfunctions.parser.asl.component.state.fail import state_fail
from moto.stepfunctions.parser.asl.eval.environment import Environment

from stepbridge_local.services.moto.replacement import replace
from stepbridge_local.services.stepfunctions.moto.environment import event_details, wait_while_running

__all__ = ["as_json", "error_matches", "install", "query_failure", "task_failure", "type_name"]

# "States.ALL" and "States.TaskFailed" never match these. States.Runtime cannot be caught or retried at all.
UNCAUGHT_BY_WILDCARDS: Final = frozenset({"States.DataLimitExceeded", "States.Runtime"})
NEVER_CAUGHT: Final = "States.Runtime"


def error_matches(error: str | None, error_equals: list[str | None]) -> bool:
    """Whether a retrier or catcher with ``error_equals`` matches ``error``."""
    if error == NEVER_CAUGHT:
        return False
    if error in error_equals:
        return True
    if error in UNCAUGHT_BY_WILDCARDS:
        return False
    return "States.ALL" in error_equals or ("States.TaskFailed" in error_equals and error != "States.Timeout")


def as_json(value: Any) -> str:
    """A value as the texts of AWS show it: JSON without spaces."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def type_name(value: Any) -> str:
    """What JSON calls the type of a value."""
    if isinstance(value, bool):
        return "boolean"
    names = {type(None): "null", str: "string", int: "number", float: "number", list: "array"}
    return names.get(type(value), "object")


def error_name_of(error_name: str | None) -> ErrorName:
    """The error name that a branch, an iteration or a Fail state ended with.

    moto treats all of them as custom names, which must not begin with ``States.``. So it turns a States.TaskFailed in a
    Parallel state into an error of the interpreter.
    """
    try:
        return StatesErrorName(StatesErrorNameType.from_name(error_name or ""))
    except ValueError:
        return CustomErrorName(error_name)


def query_failure(env: Environment, cause: str, location: str = "") -> FailureEventException:
    """States.QueryEvaluationError, with which a state fails if a JSONata expression cannot be evaluated."""
    name = StatesErrorNameType.StatesQueryEvaluationError
    details = EvaluationFailedEventDetails(error=name.to_name(), cause=cause, state=env.next_state_name or "")
    if location:
        details["location"] = location
    return FailureEventException(
        FailureEvent(
            env=env,
            error_name=StatesErrorName(name),
            event_type=HistoryEventType.EvaluationFailed,
            event_details=event_details(evaluationFailedEventDetails=details),
        )
    )


def task_failure(
    env: Environment, error: str, cause: str, resource_type: str = "", resource: str = ""
) -> FailureEventException:
    """A state's failure with ``error`` and ``cause``. If a resource is given, it is a TaskFailed event of that."""
    details = TaskFailedEventDetails(error=error, cause=cause)
    if resource_type:
        details["resourceType"], details["resource"] = resource_type, resource
    return FailureEventException(
        FailureEvent(
            env=env,
            error_name=error_name_of(error),
            event_type=HistoryEventType.TaskFailed,
            event_details=event_details(taskFailedEventDetails=details),
        )
    )


def _any_name(self: CustomErrorName, error_name: str | None) -> None:
    """Replaces CustomErrorName.__init__, which refuses ``States.`` names that it does not know; AWS takes them."""
    vars(self)["error_name"] = error_name


def _match_error(self: ErrorEqualsDecl, env: Environment) -> None:
    error: ErrorName | None = env.stack.pop()
    error_equals = [name.error_name for name in self.error_names]
    env.stack.append(error_matches(error.error_name if error else None, error_equals))


def _retry(self: RetrierDecl, env: Environment) -> None:
    """Wait for the next attempt. The wait ends early if the execution is stopped."""
    self.error_equals.eval(env)
    if not env.stack.pop():
        env.stack.append(RetrierOutcome.Skipped)
        return
    self.max_attempts.eval(env=env)
    if env.stack.pop() == MaxAttemptsOutcome.EXHAUSTED:
        env.stack.append(RetrierOutcome.Failed)
        return
    components: list[Any] = [self.interval_seconds, self.backoff_rate, self.max_delay_seconds, self.jitter_strategy]
    for component in components:
        component.eval(env=env)
    wait_while_running(env, env.stack.pop())
    env.stack.append(RetrierOutcome.Executed)


def install() -> None:
    """Match errors and wait between attempts as the States language specifies."""
    replace(ErrorEqualsDecl, "_eval_body", _match_error)
    replace(CustomErrorName, "__init__", _any_name)
    replace(RetrierDecl, "_eval_body", _retry)
    for module in (branches_decl, iteration_worker, state_fail):
        replace(module, "CustomErrorName", error_name_of)
