"""``AWS::StepFunctions::StateMachine``.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-stepfunctions-statemachine.html
"""

from __future__ import annotations

import json
from typing import Any, Final

from stepbridge_local.services.cloudformation.properties import boolean, lower_camel
from stepbridge_local.services.cloudformation.resource_type import (
    Properties,
    ResourceFailedError,
    ResourceType,
    ReturnValues,
    StackContext,
)

__all__ = ["RESOURCE_TYPE"]


def _definition(context: StackContext, properties: Properties) -> str:
    given = [name for name in ("DefinitionString", "Definition", "DefinitionS3Location") if name in properties]
    if len(given) != 1:
        raise ResourceFailedError("expected exactly one of DefinitionString, Definition and DefinitionS3Location")
    definition = properties[given[0]]
    if given[0] == "DefinitionS3Location":
        if not isinstance(definition, dict):
            raise ResourceFailedError(f"DefinitionS3Location: {definition!r}: a local path; package the template first")
        body = context.client("s3").get_object(Bucket=definition["Bucket"], Key=definition["Key"])["Body"]
        definition = body.read().decode()
    elif given[0] == "Definition":
        definition = json.dumps(definition)
    text = str(definition)
    for name, value in properties.get("DefinitionSubstitutions", {}).items():
        text = text.replace(f"${{{name}}}", str(value))
    return text


def _logging(properties: Properties) -> dict[str, Any]:
    logging = properties.get("LoggingConfiguration", {})
    return {
        "level": str(logging.get("Level", "OFF")),
        "includeExecutionData": boolean(logging.get("IncludeExecutionData", False)),
        "destinations": lower_camel(logging.get("Destinations", [])),
    }


def _settings(context: StackContext, properties: Properties) -> dict[str, Any]:
    return {
        "definition": _definition(context, properties),
        "roleArn": properties["RoleArn"],
        "loggingConfiguration": _logging(properties),
        "tracingConfiguration": {"enabled": boolean(properties.get("TracingConfiguration", {}).get("Enabled", False))},
    }


def _create(context: StackContext, name: str, properties: Properties) -> str:
    answer = context.client("stepfunctions").create_state_machine(
        name=name,
        type=properties.get("StateMachineType", "STANDARD"),
        tags=lower_camel(properties.get("Tags", [])),
        **_settings(context, properties),
    )
    arn: str = answer["stateMachineArn"]
    return arn


def _configure(context: StackContext, arn: str, old: Properties, new: Properties) -> ReturnValues:
    stepfunctions = context.client("stepfunctions")
    if old:
        stepfunctions.update_state_machine(stateMachineArn=arn, **_settings(context, new))
        if old.get("Tags"):
            stepfunctions.untag_resource(resourceArn=arn, tagKeys=[tag["Key"] for tag in old["Tags"]])
        if new.get("Tags"):
            stepfunctions.tag_resource(resourceArn=arn, tags=lower_camel(new["Tags"]))
    return ReturnValues(arn, {"Arn": arn, "Name": arn.rpartition(":")[2]})


def _delete(context: StackContext, arn: str, _properties: Properties) -> None:
    context.client("stepfunctions").delete_state_machine(stateMachineArn=arn)


RESOURCE_TYPE: Final = ResourceType(
    name="AWS::StepFunctions::StateMachine",
    required=frozenset({"RoleArn"}),
    optional=frozenset(
        {
            "Definition",
            "DefinitionS3Location",
            "DefinitionString",
            "DefinitionSubstitutions",
            "LoggingConfiguration",
            "StateMachineName",
            "StateMachineType",
            "Tags",
            "TracingConfiguration",
        }
    ),
    create=_create,
    configure=_configure,
    delete=_delete,
    name_property="StateMachineName",
    replaced_by=frozenset({"StateMachineName", "StateMachineType"}),
)
