"""Build projects and state machines in stacks."""

from __future__ import annotations

import json
from typing import Any

from stepbridge_local.services.cloudformation.resources.kinds import (
    Kind,
    KindContext,
    Made,
    Properties,
    ResourceFailedError,
)
from stepbridge_local.services.cloudformation.resources.storage import boolean, lower_camel

__all__ = ["COMPUTE_KINDS"]


# --- AWS::CodeBuild::Project ------------------------------------------------------------------------------------------
def _project(name: str, properties: Properties) -> dict[str, Any]:
    """The project as CreateProject takes it."""
    project: dict[str, Any] = lower_camel({**properties, "Name": name})
    source = project["source"]
    if "buildSpec" in source:
        source["buildspec"] = source.pop("buildSpec")
    for minutes in ("timeoutInMinutes", "queuedTimeoutInMinutes"):
        if minutes in project:
            project[minutes] = int(project[minutes])
    if "privilegedMode" in project["environment"]:
        project["environment"]["privilegedMode"] = boolean(project["environment"]["privilegedMode"])
    return project


def _make_project(context: KindContext, name: str, properties: Properties) -> str:
    context.client("codebuild").create_project(**_project(name, properties))
    return name


def _configure_project(context: KindContext, name: str, old: Properties, new: Properties) -> Made:
    if old:
        context.client("codebuild").update_project(**_project(name, new))
    arn = f"arn:aws:codebuild:{context.region}:{context.account_id}:project/{name}"
    return Made(name, {"Arn": arn})


def _delete_project(context: KindContext, name: str, _properties: Properties) -> None:
    context.client("codebuild").delete_project(name=name)


# --- AWS::StepFunctions::StateMachine ---------------------------------------------------------------------------------
def _definition(context: KindContext, properties: Properties) -> str:
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


def _settings(context: KindContext, properties: Properties) -> dict[str, Any]:
    return {
        "definition": _definition(context, properties),
        "roleArn": properties["RoleArn"],
        "loggingConfiguration": _logging(properties),
        "tracingConfiguration": {"enabled": boolean(properties.get("TracingConfiguration", {}).get("Enabled", False))},
    }


def _make_state_machine(context: KindContext, name: str, properties: Properties) -> str:
    answer = context.client("stepfunctions").create_state_machine(
        name=name,
        type=properties.get("StateMachineType", "STANDARD"),
        tags=lower_camel(properties.get("Tags", [])),
        **_settings(context, properties),
    )
    arn: str = answer["stateMachineArn"]
    return arn


def _configure_state_machine(context: KindContext, arn: str, old: Properties, new: Properties) -> Made:
    stepfunctions = context.client("stepfunctions")
    if old:
        stepfunctions.update_state_machine(stateMachineArn=arn, **_settings(context, new))
        if old.get("Tags"):
            stepfunctions.untag_resource(resourceArn=arn, tagKeys=[tag["Key"] for tag in old["Tags"]])
        if new.get("Tags"):
            stepfunctions.tag_resource(resourceArn=arn, tags=lower_camel(new["Tags"]))
    return Made(arn, {"Arn": arn, "Name": arn.rpartition(":")[2]})


def _delete_state_machine(context: KindContext, arn: str, _properties: Properties) -> None:
    context.client("stepfunctions").delete_state_machine(stateMachineArn=arn)


COMPUTE_KINDS = (
    Kind(
        name="AWS::CodeBuild::Project",
        required=frozenset({"Artifacts", "Environment", "ServiceRole", "Source"}),
        optional=frozenset(
            {
                "Cache",
                "Description",
                "LogsConfig",
                "Name",
                "QueuedTimeoutInMinutes",
                "SourceVersion",
                "Tags",
                "TimeoutInMinutes",
            }
        ),
        make=_make_project,
        configure=_configure_project,
        delete=_delete_project,
        name_property="Name",
        replaced_by=frozenset({"Name"}),
    ),
    Kind(
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
        make=_make_state_machine,
        configure=_configure_state_machine,
        delete=_delete_state_machine,
        name_property="StateMachineName",
        replaced_by=frozenset({"StateMachineName", "StateMachineType"}),
    ),
)
