"""State machines: checks of definitions when they are created, and idempotent creation."""

from __future__ import annotations

import json
from typing import Any, Final

import moto.stepfunctions
from moto.stepfunctions import models
from moto.stepfunctions.models import StateMachine
from moto.stepfunctions.parser.asl.parse import asl_parser
from moto.stepfunctions.parser.asl.parse.asl_parser import ASLParserException
from moto.stepfunctions.parser.models import StepFunctionsParserBackend, stepfunctions_parser_backends

from stepbridge_local.services.moto.api_errors import ApiError
from stepbridge_local.services.moto.replacement import replace
from stepbridge_local.services.stepfunctions.moto.executions import parse_definition
from stepbridge_local.services.stepfunctions.moto.preprocessor import LocalPreprocessor
from stepbridge_local.services.stepfunctions.moto.restored import RestoredExecutions
from stepbridge_local.services.stepfunctions.moto.start_execution import executions_of
from stepbridge_local.services.stepfunctions.resources import check_resources
from stepbridge_local.services.stepfunctions.transitions import check_transitions

__all__ = ["check_partition", "install"]

_NOT_IN_EXPRESS: Final = frozenset({"sync", "sync:2", "waitForTaskToken"})
_moto_create: Final = StepFunctionsParserBackend.create_state_machine
_moto_update: Final = StepFunctionsParserBackend.update_state_machine
_moto_delete: Final = StepFunctionsParserBackend.delete_state_machine


def _validate_definition(definition: str) -> None:
    """Raise InvalidDefinition for what the interpreter cannot run."""
    try:
        parse_definition(definition)
        check_transitions(json.loads(definition))
    except (ASLParserException, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise ApiError("InvalidDefinition", f"Invalid State Machine Definition: '{error}'") from error


def check_partition(definition: str, region: str) -> None:
    """Raise InvalidDefinition for resources of other partitions."""
    try:
        check_resources(json.loads(definition), region)
    except json.JSONDecodeError:
        return  # refused by _validate_definition
    except ValueError as error:
        raise ApiError("InvalidDefinition", f"Invalid State Machine Definition: '{error}'") from error


def _create_state_machine(
    self: StepFunctionsParserBackend, restored: RestoredExecutions, *args: Any, **kwargs: Any
) -> StateMachine:
    """Create it. The same request again returns the same state machine. Another one with its name is refused."""
    name = kwargs.get("name") or args[0]
    check_partition(kwargs.get("definition") or args[1], self.region_name)
    if kwargs.get("sm_type") == "EXPRESS":
        _refuse_in_express(json.loads(kwargs.get("definition") or args[1]))
    existing = next((machine for machine in self.state_machines if machine.name == name), None)
    if existing is not None:
        definition = kwargs.get("definition") or args[1]
        role_arn = kwargs.get("roleArn") or args[2]
        machine_type = kwargs.get("sm_type") or "STANDARD"
        if (definition, role_arn, machine_type) != (existing.definition, existing.roleArn, existing.type):
            raise ApiError("StateMachineAlreadyExists", f"State Machine Already Exists: '{existing.arn}'")
    machine = _moto_create(self, *args, **kwargs)
    if existing is None:
        executions_of(machine).extend(restored.of_machine(machine.arn))
    return machine


def _refuse_in_express(definition: Any) -> None:
    """Express workflows cannot wait for a job or for a token. Raises InvalidDefinition."""
    if isinstance(definition, list):
        for item in definition:
            _refuse_in_express(item)
    elif isinstance(definition, dict):
        resource = definition.get("Resource")
        if isinstance(resource, str) and resource.rpartition(".")[2] in _NOT_IN_EXPRESS:
            raise ApiError(
                "InvalidDefinition",
                f"Invalid State Machine Definition: '{resource}: Express state machine does not support "
                f"'.{resource.rpartition('.')[2]}' service integration'",
            )
        for value in definition.values():
            _refuse_in_express(value)


def install(restored: RestoredExecutions) -> None:
    """Check definitions and create idempotently; there is one set of state machines, those that run."""

    def create_state_machine(self: StepFunctionsParserBackend, *args: Any, **kwargs: Any) -> StateMachine:
        return _create_state_machine(self, restored, *args, **kwargs)

    def update_state_machine(self: StepFunctionsParserBackend, *args: Any, **kwargs: Any) -> StateMachine:
        given = dict(zip(("arn", "definition"), args, strict=False)) | kwargs
        if given.get("definition"):
            check_partition(given["definition"], self.region_name)
        return _moto_update(self, *args, **kwargs)

    def delete_state_machine(self: StepFunctionsParserBackend, arn: str) -> None:
        """Delete it and its executions. Running ones continue to their ends, but can no longer be described."""
        _moto_delete(self, arn)
        restored.forget_machine(arn)

    replace(asl_parser, "Preprocessor", LocalPreprocessor)
    replace(StepFunctionsParserBackend, "_validate_definition", staticmethod(_validate_definition))
    replace(StepFunctionsParserBackend, "create_state_machine", create_state_machine)
    replace(StepFunctionsParserBackend, "update_state_machine", update_state_machine)
    replace(StepFunctionsParserBackend, "delete_state_machine", delete_state_machine)
    for module in (models, moto.stepfunctions):
        replace(module, "stepfunctions_backends", stepfunctions_parser_backends)
