"""StartExecution: finds the state machine, version or alias, and whether the execution already exists.

https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html
"""

from __future__ import annotations

import json
import random
import re
import threading
import uuid
from typing import Any, Final, cast

from moto.stepfunctions.models import StateMachine, StateMachineVersion
from moto.stepfunctions.parser.api import ExecutionStatus
from moto.stepfunctions.parser.models import StepFunctionsParserBackend

from stepbridge_local.services.moto.api_errors import ApiError
from stepbridge_local.services.moto.replacement import replace
from stepbridge_local.services.stepfunctions.moto.executions import Execution, ExecutionServices
from stepbridge_local.services.stepfunctions.state_machine_snapshot import StateMachineSnapshot

__all__ = [
    "check_arn",
    "executions_of",
    "install",
    "resolve",
    "validate_name",
]

MAXIMUM_INPUT_BYTES: Final = 262_144
_FORBIDDEN_IN_NAMES: Final = re.compile(r"[\s<>{}\[\]?*\"#%\\^|~`$&,;:/\u0000-\u001f\u007f-\u009f]")
_ARN: Final = re.compile(r"arn:[^:]+:states:[^:]+:\d{12}:(?P<type>[^:]+):.+")
_starting = threading.Lock()  # concurrent StartExecution calls with the same name must see each other


def _start_execution(
    self: StepFunctionsParserBackend,
    services: ExecutionServices,
    state_machine_arn: str,
    name: str | None = None,
    execution_input: str | None = None,
    trace_header: str | None = None,
) -> Execution:
    """Start the execution, or return the running one with the same name and input."""
    machine, version, alias_arn = resolve(self, state_machine_arn)
    execution_name = name or str(uuid.uuid4())
    validate_name(execution_name)
    input_text = "{}" if execution_input is None else execution_input
    _validate_input(input_text)
    snapshot = _snapshot(machine, version, alias_arn)
    is_express = machine.type == "EXPRESS"  # several of which can have one name
    kind, suffix = ("express", f":{uuid.uuid4()}") if is_express else ("execution", "")
    arn = f"{machine.arn.replace(':stateMachine:', f':{kind}:')}:{execution_name}{suffix}"
    with _starting:
        named = (one for one in executions_of(machine) if one.name == execution_name and not is_express)
        existing = next(named, None)
        if existing is not None:
            if existing.exec_status == ExecutionStatus.RUNNING and existing.execution_input == input_text:
                return existing
            raise ApiError("ExecutionAlreadyExists", f"Execution Already Exists: '{existing.execution_arn}'")
        execution = Execution(
            arn,
            execution_name,
            self.account_id,
            self.region_name,
            snapshot,
            input_text,
            trace_header,
            services,
        )
        executions_of(machine).append(execution)
    execution.start()
    return execution


def executions_of(machine: StateMachine) -> list[Execution]:
    """The executions of a state machine: ours instead of moto's."""
    return cast("list[Execution]", machine.executions)


def resolve(
    backend: StepFunctionsParserBackend, arn: str
) -> tuple[StateMachine, StateMachineVersion | None, str | None]:
    """The machine, the version and the alias that ``arn`` names. Executions are kept with the machine."""
    check_arn(arn, "stateMachine")
    parts = arn.split(":")
    if len(parts) <= 7:
        return backend.describe_state_machine(arn), None, None
    machine = backend.describe_state_machine(":".join(parts[:7]))
    if parts[7].isdecimal():
        version = machine.versions.get(int(parts[7]))
        if version is not None:
            return machine, version, None
    elif (alias := machine.aliases.get(parts[7])) is not None:
        routes = alias.routing_configuration
        (route,) = random.choices(routes, [route["weight"] for route in routes])
        version_arn = route["stateMachineVersionArn"]
        return machine, machine.versions[int(version_arn.rsplit(":", 1)[1])], alias.arn
    raise ApiError("StateMachineDoesNotExist", f"State Machine Does Not Exist: '{arn}'")


def check_arn(arn: str, resource_type: str) -> None:
    """Raise InvalidArn, in AWS's words, for what is not the ARN of a state machine ("stateMachine") or an execution."""
    found = _ARN.fullmatch(arn)
    if found is None:
        raise ApiError("InvalidArn", f"Invalid Arn: 'Invalid ARN prefix: {arn}'")
    if found["type"] != resource_type:
        raise ApiError("InvalidArn", f"Invalid Arn: 'Resource type not valid in this context: {found['type']}'")


def _snapshot(
    machine: StateMachine, version: StateMachineVersion | None, alias_arn: str | None
) -> StateMachineSnapshot:
    source = version or machine
    return StateMachineSnapshot(
        arn=machine.arn,
        name=machine.name,
        type=machine.type,
        definition=source.definition,
        role_arn=source.roleArn,
        updated=source.update_date,
        configurations={
            "loggingConfiguration": source.loggingConfiguration,
            "tracingConfiguration": source.tracingConfiguration,
            "encryptionConfiguration": source.encryptionConfiguration,
        },
        version_arn=version.arn if version else None,
        alias_arn=alias_arn,
    )


def validate_name(name: str) -> None:
    if len(name) > 80:
        raise ApiError(
            "ValidationException",
            f"1 validation error detected: Value '{name}' at 'name' failed to satisfy constraint: "
            "Member must have length less than or equal to 80",
        )
    if _FORBIDDEN_IN_NAMES.search(name):
        raise ApiError("InvalidName", f"Invalid Name: '{name}'")


def _validate_input(text: str) -> None:
    if len(text.encode()) > MAXIMUM_INPUT_BYTES:
        raise ApiError(
            "ValidationException",
            "1 validation error detected: Value at 'input' failed to satisfy constraint: "
            f"Member must have length less than or equal to {MAXIMUM_INPUT_BYTES}",
        )
    try:
        json.loads(text)
    except ValueError as error:
        raise ApiError("InvalidExecutionInput", f"Invalid State Machine Execution Input: '{error}'") from error


def install(services: ExecutionServices) -> None:
    """Start executions of ours instead of moto's."""

    def start_execution(self: StepFunctionsParserBackend, *arguments: Any, **keywords: Any) -> Execution:
        return _start_execution(self, services, *arguments, **keywords)

    replace(StepFunctionsParserBackend, "start_execution", start_execution)
