"""The API operations on Map runs, and on their child executions.

https://docs.aws.amazon.com/step-functions/latest/dg/concepts-examine-map-run.html
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from moto.core.responses import ActionResult
from moto.stepfunctions.parser.models import StepFunctionsParserBackend
from moto.stepfunctions.responses import StepFunctionResponse

from stepbridge_local.services.moto.api_errors import ApiError
from stepbridge_local.services.moto.replacement import replace
from stepbridge_local.services.stepfunctions.moto.child_executions import CHILDREN, ChildExecution
from stepbridge_local.services.stepfunctions.moto.pages import page_of
from stepbridge_local.services.stepfunctions.moto.start_execution import check_arn, executions_of

__all__ = ["child_description", "find_child", "install", "list_children"]


def find_child(backend: StepFunctionsParserBackend, arn: str) -> tuple[ChildExecution, Any] | None:
    """The child execution with this ARN and its Map run, or None. Those of Express workflows are not described."""
    for record in _records(backend):
        for child in _children(record):
            if child.arn == arn:
                return child, record
    return None


def child_description(child: ChildExecution, record: Any, with_data: bool) -> dict[str, Any]:
    """What DescribeExecution and ListExecutions say of a child."""
    result = child.result().metadata
    answer: dict[str, Any] = {
        "executionArn": child.arn,
        "stateMachineArn": child.state_machine_arn,
        "mapRunArn": record.map_run_arn,
        "name": child.name,
        "status": child.status,
        "startDate": child.start_date,
        "redriveCount": 0,
    }
    if child.stop_date is not None:
        answer["stopDate"] = child.stop_date
    if not with_data:
        return answer
    answer |= {"input": result["Input"], "inputDetails": {"included": True}}
    if "Output" in result:
        answer |= {"output": result["Output"], "outputDetails": {"included": True}}
    told = {"error": child.error, "cause": child.cause, "redriveStatus": result["RedriveStatus"]}
    return answer | {name: value for name, value in told.items() if value is not None}


def list_children(response: StepFunctionResponse) -> ActionResult:
    """ListExecutions with ``mapRunArn``: the newest first."""
    record = _record(_backend(response), response._get_param("mapRunArn"))
    status = response._get_param("statusFilter")
    children = [child for child in _children(record) if child.started and status in (None, child.status)]
    children.sort(key=lambda child: (child.start_date, child.arn), reverse=True)
    page, token = page_of(response, children)
    answer: dict[str, Any] = {"executions": [child_description(child, record, with_data=False) for child in page]}
    return ActionResult(answer | token)


def list_map_runs(self: StepFunctionResponse) -> ActionResult:
    """The Map runs of an execution, the newest first."""
    arn = self._get_param("executionArn")
    check_arn(arn, "execution")
    execution: Any = _backend(self).describe_execution(arn)
    page, token = page_of(self, list(reversed(execution.map_runs)))
    return ActionResult({"mapRuns": [_with_dates(record.list_item()) for record in page]} | token)


def describe_map_run(self: StepFunctionResponse) -> ActionResult:
    arn = self._get_param("mapRunArn")
    return ActionResult(_with_dates(_record(_backend(self), arn).describe()) | {"redriveCount": 0})


def _with_dates(answer: dict[str, Any]) -> dict[str, Any]:
    dates = {key: datetime.fromisoformat(value) for key, value in answer.items() if key in ("startDate", "stopDate")}
    return {**answer, **dates}


def _record(backend: StepFunctionsParserBackend, arn: str) -> Any:
    check_arn(arn, "mapRun")
    for record in _records(backend):
        if record.map_run_arn == arn:
            return record
    raise ApiError("ResourceNotFound", f"Resource not found: '{arn}'")


def _records(backend: StepFunctionsParserBackend) -> Iterator[Any]:
    for machine in backend.state_machines:
        for execution in executions_of(machine):
            yield from execution.map_runs


def _children(record: Any) -> list[ChildExecution]:
    children: list[ChildExecution] = vars(record).get(CHILDREN, [])
    return children


def _backend(response: StepFunctionResponse) -> StepFunctionsParserBackend:
    backend = response.stepfunction_backend
    assert isinstance(backend, StepFunctionsParserBackend)
    return backend


def install() -> None:
    """Replace moto's operations, which crash for a Map run that does not exist and have no pages."""
    for operation in (list_map_runs, describe_map_run):
        replace(StepFunctionResponse, operation.__name__, operation)
