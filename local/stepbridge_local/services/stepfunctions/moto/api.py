"""The API operations on executions, as AWS answers them.

https://docs.aws.amazon.com/step-functions/latest/apireference/API_Operations.html
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from moto.core.responses import ActionResult
from moto.stepfunctions.parser.models import StepFunctionsParserBackend
from moto.stepfunctions.responses import StepFunctionResponse

from stepbridge_local.services.moto.api_errors import ApiError
from stepbridge_local.services.moto.replacement import replace
from stepbridge_local.services.stepfunctions.moto.executions import Execution
from stepbridge_local.services.stepfunctions.moto.map_runs import child_description, find_child, list_children
from stepbridge_local.services.stepfunctions.moto.pages import page_of, page_size, page_token, read_token
from stepbridge_local.services.stepfunctions.moto.restored import RestoredExecutions
from stepbridge_local.services.stepfunctions.moto.start_execution import check_arn, executions_of, resolve

__all__ = ["install"]

_EXECUTION_DATA: Final = frozenset({"input", "output", "inputDetails", "outputDetails", "parameters"})


# --- finding an execution ---------------------------------------------------------------------------------------------
def _execution(response: StepFunctionResponse) -> Execution:
    """The execution that the request names."""
    found: Any = _backend(response).describe_execution(response._get_param("executionArn"))
    assert isinstance(found, Execution)
    return found


def _find_execution(backend: StepFunctionsParserBackend, execution_arn: str, restored: RestoredExecutions) -> Execution:
    check_arn(execution_arn, "execution")
    for machine in backend.state_machines:
        for execution in executions_of(machine):
            if execution.execution_arn == execution_arn:
                return execution
    # Its state machine has not been created again since the restart.
    found = restored.find(execution_arn)
    if found is not None and not any(machine.arn == found.state_machine_arn for machine in backend.state_machines):
        return found
    raise ApiError("ExecutionDoesNotExist", f"Execution Does Not Exist: '{execution_arn}'")


def _described(execution: Execution) -> dict[str, Any]:
    """The members that DescribeExecution and ListExecutions have in common."""
    machine = execution.state_machine
    answer: dict[str, Any] = {
        "executionArn": execution.execution_arn,
        "stateMachineArn": machine.arn,
        "name": execution.name,
        "status": execution.status,
        "startDate": execution.start_date,
        "redriveCount": execution.redrive_count,
        "stopDate": execution.stop_date,
        "redriveDate": execution.redrive_date,
        "stateMachineVersionArn": machine.version_arn,
        "stateMachineAliasArn": machine.alias_arn,
    }
    return {key: value for key, value in answer.items() if value is not None}


def _full_description(execution: Execution, with_data: bool) -> dict[str, Any]:
    answer = _described(execution)
    reason = execution.not_redrivable_reason()
    answer["redriveStatus"] = "REDRIVABLE" if reason is None else "NOT_REDRIVABLE"
    if reason is not None:
        answer["redriveStatusReason"] = reason
    if execution.trace_header:
        answer["traceHeader"] = execution.trace_header
    if not with_data:
        return answer
    answer |= {"input": execution.execution_input, "inputDetails": {"included": True}}
    if execution.output is not None:
        answer |= {"output": execution.output, "outputDetails": {"included": True}}
    answer |= {key: value for key in ("error", "cause") if (value := getattr(execution, key)) is not None}
    return answer


# --- the operations ---------------------------------------------------------------------------------------------------
def start_execution(self: StepFunctionResponse) -> ActionResult:
    execution = _backend(self).start_execution(
        self._get_param("stateMachineArn"),
        self._get_param("name"),
        self._get_param("input"),
        self._get_param("traceHeader"),
    )
    return ActionResult({"executionArn": execution.execution_arn, "startDate": execution.start_date})


def describe_execution(self: StepFunctionResponse) -> ActionResult:
    with_data = self._get_param("includedData") != "METADATA_ONLY"
    child = find_child(_backend(self), self._get_param("executionArn"))
    if child is not None:
        return ActionResult(child_description(*child, with_data))
    return ActionResult(_full_description(_execution(self), with_data))


def stop_execution(self: StepFunctionResponse) -> ActionResult:
    execution = _execution(self)
    if execution.state_machine.type == "EXPRESS":
        raise ApiError("ValidationException", "StopExecution is not supported by EXPRESS state machines")
    return ActionResult({"stopDate": execution.stop(self._get_param("error"), self._get_param("cause"))})


def redrive_execution(self: StepFunctionResponse) -> ActionResult:
    execution = _execution(self)
    return ActionResult({"redriveDate": execution.redrive(self._get_param("clientToken"))})


def list_executions(self: StepFunctionResponse) -> ActionResult:
    """Newest first; a token names the last execution of a page, so that new ones do not shift the next page."""
    arn = self._get_param("stateMachineArn")
    if self._get_param("mapRunArn"):
        if arn:
            raise ApiError("ValidationException", "Only one of 'stateMachineArn' and 'mapRunArn' can be specified")
        return list_children(self)
    if not arn:
        raise ApiError("ValidationException", "One of 'stateMachineArn' and 'mapRunArn' must be specified")
    machine, version, alias_arn = resolve(_backend(self), arn)
    if machine.type == "EXPRESS":
        raise ApiError("StateMachineTypeNotSupported", "This operation is not supported by this type of state machine")
    wanted = [
        execution
        for execution in executions_of(machine)
        if (version is None or alias_arn is not None or execution.state_machine.version_arn == version.arn)
        and (alias_arn is None or execution.state_machine.alias_arn == alias_arn)
        and self._get_param("statusFilter") in (None, execution.status)
        and _redrive_matches(execution, self._get_param("redriveFilter"))
    ]
    wanted.sort(key=_position, reverse=True)
    after = read_token(self._get_param("nextToken"), str, str)
    if after is not None:
        wanted = [execution for execution in wanted if _position(execution) < tuple(after)]
    size = page_size(self)
    answer: dict[str, Any] = {"executions": [_described(execution) for execution in wanted[:size]]}
    if len(wanted) > size:
        answer["nextToken"] = page_token(list(_position(wanted[size - 1])))
    return ActionResult(answer)


def get_execution_history(self: StepFunctionResponse) -> ActionResult:
    child = find_child(_backend(self), self._get_param("executionArn"))
    manager = _execution(self).events if child is None else child[0].events
    history = manager.get_event_history()
    if self._get_param("reverseOrder"):
        history.reverse()
    page, token = page_of(self, history)
    events = [{**event, "timestamp": _moment(event["timestamp"])} for event in page]
    if self._get_param("includeExecutionData") is False:
        events = [_without_data(event) for event in events]
    return ActionResult({"events": events, **token})


def describe_state_machine_for_execution(self: StepFunctionResponse) -> ActionResult:
    """The definition that the execution uses, even if the state machine has changed since."""
    machine = _execution(self).state_machine
    return ActionResult(
        {
            "stateMachineArn": machine.arn,
            "name": machine.name,
            "definition": machine.definition,
            "roleArn": machine.role_arn,
            "updateDate": machine.updated,
            **machine.configurations,
        }
    )


def _backend(response: StepFunctionResponse) -> StepFunctionsParserBackend:
    backend = response.stepfunction_backend
    if not isinstance(backend, StepFunctionsParserBackend):
        raise TypeError(f"moto's interpreter is off: {backend!r}; execute_state_machine must be set")
    return backend


def _redrive_matches(execution: Execution, redrive_filter: str | None) -> bool:
    return redrive_filter is None or (redrive_filter == "REDRIVEN") == (execution.redrive_count > 0)


def _position(execution: Execution) -> tuple[str, str]:
    return execution.start_date.isoformat(timespec="microseconds"), execution.execution_arn


def _moment(timestamp: str | datetime) -> datetime:
    return timestamp if isinstance(timestamp, datetime) else datetime.fromisoformat(timestamp)


def _without_data(event: dict[str, Any]) -> dict[str, Any]:
    return {
        key: {name: part for name, part in value.items() if name not in _EXECUTION_DATA}
        if isinstance(value, dict)
        else value
        for key, value in event.items()
    }


_OPERATIONS: Final[list[Callable[[StepFunctionResponse], ActionResult]]] = [
    start_execution,
    describe_execution,
    stop_execution,
    list_executions,
    get_execution_history,
    describe_state_machine_for_execution,
]


def install(restored: RestoredExecutions) -> None:
    """Replace moto's operations by these; RedriveExecution is new there."""

    def find_execution(self: StepFunctionsParserBackend, execution_arn: str) -> Execution:
        return _find_execution(self, execution_arn, restored)

    for operation in _OPERATIONS:
        replace(StepFunctionResponse, operation.__name__, operation)
    StepFunctionResponse.redrive_execution = redrive_execution  # type: ignore[attr-defined]
    replace(StepFunctionsParserBackend, "describe_execution", find_execution)
