"""``AWS::CodeBuild::Project``.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-codebuild-project.html
"""

from __future__ import annotations

from typing import Any, Final

from stepbridge_local.partitions import partition
from stepbridge_local.services.cloudformation.properties import boolean, lower_camel
from stepbridge_local.services.cloudformation.resource_type import Properties, ResourceType, ReturnValues, StackContext

__all__ = ["RESOURCE_TYPE"]


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


def _create(context: StackContext, name: str, properties: Properties) -> str:
    context.client("codebuild").create_project(**_project(name, properties))
    return name


def _configure(context: StackContext, name: str, old: Properties, new: Properties) -> ReturnValues:
    if old:
        context.client("codebuild").update_project(**_project(name, new))
    arn = f"arn:{partition(context.region)}:codebuild:{context.region}:{context.account_id}:project/{name}"
    return ReturnValues(name, {"Arn": arn})


def _delete(context: StackContext, name: str, _properties: Properties) -> None:
    context.client("codebuild").delete_project(name=name)


RESOURCE_TYPE: Final = ResourceType(
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
            "VpcConfig",
        }
    ),
    create=_create,
    configure=_configure,
    delete=_delete,
    name_property="Name",
    replaced_by=frozenset({"Name"}),
)
