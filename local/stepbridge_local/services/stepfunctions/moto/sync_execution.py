"""StartSyncExecution: an Express workflow whose end the client waits for."""

from __future__ import annotations

from typing import Any, Final

from moto.core.responses import ActionResult
from moto.stepfunctions.responses import StepFunctionResponse

from stepbridge_local.services.moto.api_errors import ApiError
from stepbridge_local.services.stepfunctions.moto.start_execution import resolve

__all__ = ["install"]

MAXIMUM_SECONDS: Final = 300.0
BILLED_MEMORY_MB: Final = 64
_BILLED_MILLISECONDS: Final = 100


def start_sync_execution(self: StepFunctionResponse) -> ActionResult:
    """The end of the execution; one that takes longer than five minutes times out, as every Express workflow."""
    backend: Any = self.stepfunction_backend
    arn = self._get_param("stateMachineArn")
    machine, _, _ = resolve(backend, arn)
    if machine.type != "EXPRESS":
        raise ApiError("StateMachineTypeNotSupported", "This operation is not supported by this type of state machine")
    execution = backend.start_execution(
        arn, self._get_param("name"), self._get_param("input"), self._get_param("traceHeader")
    )
    execution.wait(MAXIMUM_SECONDS)
    milliseconds = (execution.stop_date - execution.start_date).total_seconds() * 1000
    answer: dict[str, Any] = {
        "executionArn": execution.execution_arn,
        "stateMachineArn": machine.arn,
        "name": execution.name,
        "startDate": execution.start_date,
        "stopDate": execution.stop_date,
        "status": execution.status,
        "billingDetails": {
            "billedMemoryUsedInMB": BILLED_MEMORY_MB,
            "billedDurationInMilliseconds": -(-int(milliseconds) // _BILLED_MILLISECONDS) * _BILLED_MILLISECONDS,
        },
    }
    if self._get_param("includedData") != "METADATA_ONLY":
        answer |= {"input": execution.execution_input, "inputDetails": {"included": True}}
        if execution.output is not None:
            answer |= {"output": execution.output, "outputDetails": {"included": True}}
    for member in ("error", "cause", "trace_header"):
        value = getattr(execution, member)
        if value is not None:
            answer["traceHeader" if member == "trace_header" else member] = value
    return ActionResult(answer)


def install() -> None:
    """Add the operation, which moto does not have."""
    StepFunctionResponse.start_sync_execution = start_sync_execution  # type: ignore[attr-defined]
