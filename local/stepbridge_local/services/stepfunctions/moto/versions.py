"""Versions of state machines, and definitions that are only to be checked. moto has no operations for either.

https://docs.aws.amazon.com/step-functions/latest/dg/concepts-state-machine-version.html
"""

from __future__ import annotations

from typing import Any, Final

from moto.core.responses import ActionResult, EmptyResult
from moto.stepfunctions.models import StateMachine, StateMachineVersion
from moto.stepfunctions.responses import StepFunctionResponse

from stepbridge_local.services.moto.api_errors import ApiError
from stepbridge_local.services.stepfunctions.moto.definitions import problems_of
from stepbridge_local.services.stepfunctions.moto.pages import page_size, page_token, read_token

__all__ = ["install"]

MAXIMUM_DIAGNOSTICS: Final = 100

# The parts of a state machine in a version. Publishing the same again returns the existing version.
_REVISION: Final = ("definition", "roleArn", "loggingConfiguration", "tracingConfiguration", "encryptionConfiguration")


def publish_state_machine_version(self: StepFunctionResponse) -> ActionResult:
    """A new version of the state machine, or the latest one if nothing has changed since."""
    machine = _machine(self, self._get_param("stateMachineArn"))
    version = machine.latest_version
    if version is None or version.version not in machine.versions or _revision(version) != _revision(machine):
        machine.publish(self._get_param("description"))
        version = machine.versions[machine.latest_version_number]
    return ActionResult({"stateMachineVersionArn": version.arn, "creationDate": version.creation_date})


def list_state_machine_versions(self: StepFunctionResponse) -> ActionResult:
    """Newest first; a token names the last version of a page."""
    machine = _machine(self, self._get_param("stateMachineArn"))
    before = (read_token(self._get_param("nextToken"), int) or [machine.latest_version_number + 1])[0]
    numbers = sorted((number for number in machine.versions if number < before), reverse=True)
    shown = numbers[: page_size(self)]
    answer: dict[str, Any] = {
        "stateMachineVersions": [
            {"stateMachineVersionArn": version.arn, "creationDate": version.creation_date}
            for version in (machine.versions[number] for number in shown)
        ]
    }
    if len(numbers) > len(shown):
        answer["nextToken"] = page_token([shown[-1]])
    return ActionResult(answer)


def delete_state_machine_version(self: StepFunctionResponse) -> EmptyResult:
    """Delete the version, unless an alias points to it. Its number is not used again."""
    arn = str(self._get_param("stateMachineVersionArn"))
    machine_arn, _, number = arn.rpartition(":")
    if not number.isdecimal():
        raise ApiError("InvalidArn", f"Invalid Arn: 'Resource type not valid in this context: {arn}'")
    machine = _machine(self, machine_arn)
    aliases = [
        name
        for name, alias in machine.aliases.items()
        if any(route["stateMachineVersionArn"] == arn for route in alias.routing_configuration)
    ]
    if aliases:
        raise ApiError(
            "ConflictException",
            "Version to be deleted must not be referenced by an alias. Current list of aliases referencing this "
            f"version: [{', '.join(aliases)}]",
        )
    machine.versions.pop(int(number), None)
    return EmptyResult()


def validate_state_machine_definition(self: StepFunctionResponse) -> ActionResult:
    """OK if CreateStateMachine would accept it, otherwise FAIL with a diagnostic for each problem."""
    kind = self._get_param("type") or "STANDARD"
    problems = problems_of(self._get_param("definition"), self.region, kind)
    maximum = self._get_param("maxResults") or MAXIMUM_DIAGNOSTICS
    diagnostics = [
        {"severity": "ERROR", "code": problem.code, "message": problem.message}
        | ({"location": problem.place} if problem.place else {})
        for problem in problems[:maximum]
    ]
    return ActionResult(
        {
            "result": "FAIL" if problems else "OK",
            "diagnostics": diagnostics,
            "truncated": len(problems) > len(diagnostics),
        }
    )


def _machine(response: StepFunctionResponse, arn: str) -> StateMachine:
    machine = response.stepfunction_backend.describe_state_machine(arn)
    if not isinstance(machine, StateMachine):
        raise ApiError("InvalidArn", f"Invalid Arn: 'Resource type not valid in this context: {arn}'")
    return machine


def _revision(source: StateMachine | StateMachineVersion) -> list[Any]:
    return [getattr(source, name) for name in _REVISION]


def install() -> None:
    """Add the operations."""
    for operation in (
        publish_state_machine_version,
        list_state_machine_versions,
        delete_state_machine_version,
        validate_state_machine_definition,
    ):
        setattr(StepFunctionResponse, operation.__name__, operation)
