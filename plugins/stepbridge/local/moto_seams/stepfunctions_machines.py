"""State machines: definitions checked when they arrive, idempotent creation, and CloudFormation."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

import moto.stepfunctions
from moto.stepfunctions import models
from moto.stepfunctions.models import StateMachine
from moto.stepfunctions.parser.asl.parse import asl_parser
from moto.stepfunctions.parser.asl.parse.asl_parser import ASLParserException
from moto.stepfunctions.parser.asl.parse.preprocessor import Preprocessor
from moto.stepfunctions.parser.models import StepFunctionsParserBackend, stepfunctions_parser_backends

from stepbridge.local.moto_seams.api_fault import ApiFault
from stepbridge.local.moto_seams.replacement import replace
from stepbridge.local.moto_seams.stepfunctions_executions import parse_definition

__all__ = ["install"]

_SUBSTITUTION: Final = re.compile(r"\$\{([A-Za-z0-9_]+)\}")
_ATTRIBUTES: Final = {"Arn": "arn", "Name": "name"}
_REFUSED_PROPERTIES: Final = ("DefinitionS3Location", "EncryptionConfiguration")
_moto_create: Final = StepFunctionsParserBackend.create_state_machine


class _Preprocessor(Preprocessor):
    """Keeps its scopes to itself. moto's are shared by all parses, so that one bad definition spoils all later ones."""

    def __init__(self) -> None:
        self._query_language_per_scope = []


def _validate_definition(definition: str) -> None:
    """Raise InvalidDefinition for what the interpreter cannot run."""
    try:
        parse_definition(definition)
    except (ASLParserException, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise ApiFault("InvalidDefinition", f"Invalid State Machine Definition: '{error}'") from error


def _create_state_machine(self: StepFunctionsParserBackend, *args: Any, **kwargs: Any) -> StateMachine:
    """Create it; the same request again gives the same machine, another one under its name is refused."""
    name = kwargs.get("name") or args[0]
    existing = next((machine for machine in self.state_machines if machine.name == name), None)
    if existing is not None:
        definition = kwargs.get("definition") or args[1]
        role_arn = kwargs.get("roleArn") or args[2]
        kind = kwargs.get("sm_type") or "STANDARD"
        if (definition, role_arn, kind) != (existing.definition, existing.roleArn, existing.type):
            raise ApiFault("StateMachineAlreadyExists", f"State Machine Already Exists: '{existing.arn}'")
    return _moto_create(self, *args, **kwargs)


# --- CloudFormation ---------------------------------------------------------------------------------------------------
def _definition_of(properties: Mapping[str, Any]) -> str:
    refused = [name for name in _REFUSED_PROPERTIES if name in properties]
    if refused:
        raise ApiFault(
            "ValidationError",
            f"AWS::StepFunctions::StateMachine: the local AWS has no {', '.join(refused)}; use DefinitionString",
        )
    definition = properties.get("DefinitionString") or json.dumps(properties.get("Definition", {}))
    substitutions: Mapping[str, Any] = properties.get("DefinitionSubstitutions", {})
    return _SUBSTITUTION.sub(lambda match: str(substitutions.get(match[1], match[0])), str(definition))


def _logging_of(properties: Mapping[str, Any]) -> Any:
    """LoggingConfiguration as the API has it, or None."""
    configuration = properties.get("LoggingConfiguration")
    if not configuration:
        return None
    with_data = configuration.get("IncludeExecutionData", False)
    return {
        "level": configuration.get("Level", "OFF"),
        "includeExecutionData": with_data is True or str(with_data).lower() == "true",
        "destinations": [
            {"cloudWatchLogsLogGroup": {"logGroupArn": destination["CloudWatchLogsLogGroup"]["LogGroupArn"]}}
            for destination in configuration.get("Destinations", [])
        ],
    }


def _create_from_cloudformation(
    _cls: type[Any], /, resource_name: str, cloudformation_json: Any, account_id: str, region_name: str, **_: Any
) -> StateMachine:
    properties = cloudformation_json["Properties"]
    tracing = properties.get("TracingConfiguration")
    return stepfunctions_parser_backends[account_id][region_name].create_state_machine(
        name=properties.get("StateMachineName", resource_name),
        definition=_definition_of(properties),
        roleArn=properties.get("RoleArn", ""),
        tags=[{"key": tag["Key"], "value": tag["Value"]} for tag in properties.get("Tags", [])],
        loggingConfiguration=_logging_of(properties),
        tracingConfiguration={"enabled": bool(tracing.get("Enabled"))} if tracing else None,
        sm_type=properties.get("StateMachineType"),
    )


def _update_from_cloudformation(
    cls: type[Any],
    /,
    original_resource: StateMachine,
    new_resource_name: str,
    cloudformation_json: Any,
    account_id: str,
    region_name: str,
) -> StateMachine:
    properties = cloudformation_json["Properties"]
    backend = stepfunctions_parser_backends[account_id][region_name]
    if properties.get("StateMachineName", original_resource.name) != original_resource.name:
        replacement = _create_from_cloudformation(cls, new_resource_name, cloudformation_json, account_id, region_name)
        backend.delete_state_machine(original_resource.arn)
        return replacement
    tags = [{"key": tag["Key"], "value": tag["Value"]} for tag in properties.get("Tags", [])]
    machine = backend.update_state_machine(
        original_resource.arn,
        definition=_definition_of(properties),
        role_arn=properties.get("RoleArn"),
        logging_configuration=_logging_of(properties),
    )
    backend.tagger.tag_resource(machine.arn, tags)
    return machine


def _delete_from_cloudformation(
    _cls: type[Any],
    /,
    resource_name: str,
    cloudformation_json: Any,  # noqa: ARG001  moto passes it by name
    account_id: str,
    region_name: str,
) -> None:
    backend = stepfunctions_parser_backends[account_id][region_name]
    arns = [machine.arn for machine in backend.state_machines if resource_name in (machine.arn, machine.name)]
    for arn in arns:
        backend.delete_state_machine(arn)


def _has_attribute(_cls: type[Any], attr: str) -> bool:
    return attr in _ATTRIBUTES


def _attribute(self: StateMachine, attribute_name: str) -> str:
    from moto.cloudformation.exceptions import UnformattedGetAttTemplateException  # imports 2 s worth of services

    if attribute_name not in _ATTRIBUTES:
        raise UnformattedGetAttTemplateException
    return str(getattr(self, _ATTRIBUTES[attribute_name]))


def install() -> None:
    """Check definitions, create idempotently, and let CloudFormation's state machines be those that run."""
    replace(asl_parser, "Preprocessor", _Preprocessor)
    replace(StepFunctionsParserBackend, "_validate_definition", staticmethod(_validate_definition))
    replace(StepFunctionsParserBackend, "create_state_machine", _create_state_machine)
    for module in (models, moto.stepfunctions):
        replace(module, "stepfunctions_backends", stepfunctions_parser_backends)
    replace(StateMachine, "create_from_cloudformation_json", classmethod(_create_from_cloudformation))
    replace(StateMachine, "update_from_cloudformation_json", classmethod(_update_from_cloudformation))
    replace(StateMachine, "delete_from_cloudformation_json", classmethod(_delete_from_cloudformation))
    replace(StateMachine, "has_cfn_attr", classmethod(_has_attribute))
    replace(StateMachine, "get_cfn_attribute", _attribute)
