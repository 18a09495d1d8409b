"""State machines: checks of definitions when they are created, and idempotent creation."""

from __future__ import annotations

from typing import Any, Final

import moto.stepfunctions
from moto.stepfunctions import models
from moto.stepfunctions.models import StateMachine
from moto.stepfunctions.parser.asl.parse import asl_parser
from moto.stepfunctions.parser.models import StepFunctionsParserBackend, stepfunctions_parser_backends

from stepbridge_local.services.moto.api_errors import ApiError
from stepbridge_local.services.moto.replacement import replace
from stepbridge_local.services.stepfunctions.moto.definitions import check_definition
from stepbridge_local.services.stepfunctions.moto.preprocessor import LocalPreprocessor
from stepbridge_local.services.stepfunctions.moto.restored import RestoredExecutions
from stepbridge_local.services.stepfunctions.moto.start_execution import executions_of

__all__ = ["install"]

_moto_create: Final = StepFunctionsParserBackend.create_state_machine
_moto_update: Final = StepFunctionsParserBackend.update_state_machine
_moto_delete: Final = StepFunctionsParserBackend.delete_state_machine


def _create_state_machine(
    self: StepFunctionsParserBackend, restored: RestoredExecutions, *args: Any, **kwargs: Any
) -> StateMachine:
    """Create it. The same request again returns the same state machine. Another one with its name is refused."""
    name = kwargs.get("name") or args[0]
    check_definition(kwargs.get("definition") or args[1], self.region_name, kwargs.get("sm_type") or "STANDARD")
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


def _checked_already(definition: str) -> None:
    """Replaces the check of the backend, which does not know the region."""


def install(restored: RestoredExecutions) -> None:
    """Check definitions and create idempotently; there is one set of state machines, those that run."""

    def create_state_machine(self: StepFunctionsParserBackend, *args: Any, **kwargs: Any) -> StateMachine:
        return _create_state_machine(self, restored, *args, **kwargs)

    def update_state_machine(self: StepFunctionsParserBackend, *args: Any, **kwargs: Any) -> StateMachine:
        given = dict(zip(("arn", "definition"), args, strict=False)) | kwargs
        if given.get("definition"):
            existing = next((one for one in self.state_machines if one.arn == given["arn"]), None)
            check_definition(given["definition"], self.region_name, existing.type if existing else "STANDARD")
        return _moto_update(self, *args, **kwargs)

    def delete_state_machine(self: StepFunctionsParserBackend, arn: str) -> None:
        """Delete it and its executions. Running ones continue to their ends, but can no longer be described."""
        _moto_delete(self, arn)
        restored.forget_machine(arn)

    replace(asl_parser, "Preprocessor", LocalPreprocessor)
    replace(StepFunctionsParserBackend, "_validate_definition", staticmethod(_checked_already))
    replace(StepFunctionsParserBackend, "create_state_machine", create_state_machine)
    replace(StepFunctionsParserBackend, "update_state_machine", update_state_machine)
    replace(StepFunctionsParserBackend, "delete_state_machine", delete_state_machine)
    for module in (models, moto.stepfunctions):
        replace(module, "stepfunctions_backends", stepfunctions_parser_backends)
