"""``AWS::Logs::LogGroup``.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-logs-loggroup.html
"""

from __future__ import annotations

from typing import Final

from stepbridge_local.partitions import partition
from stepbridge_local.services.cloudformation.resource_type import Properties, ResourceType, ReturnValues, StackContext

__all__ = ["RESOURCE_TYPE"]


def _create(context: StackContext, name: str, _properties: Properties) -> str:
    context.client("logs").create_log_group(logGroupName=name)
    return name


def _configure(context: StackContext, name: str, old: Properties, new: Properties) -> ReturnValues:
    logs = context.client("logs")
    if "RetentionInDays" in new:
        logs.put_retention_policy(logGroupName=name, retentionInDays=int(new["RetentionInDays"]))
    elif "RetentionInDays" in old:
        logs.delete_retention_policy(logGroupName=name)
    return ReturnValues(
        name, {"Arn": f"arn:{partition(context.region)}:logs:{context.region}:{context.account_id}:log-group:{name}:*"}
    )


def _delete(context: StackContext, name: str, _properties: Properties) -> None:
    context.client("logs").delete_log_group(logGroupName=name)


RESOURCE_TYPE: Final = ResourceType(
    name="AWS::Logs::LogGroup",
    required=frozenset(),
    optional=frozenset({"LogGroupName", "RetentionInDays"}),
    create=_create,
    configure=_configure,
    delete=_delete,
    name_property="LogGroupName",
    replaced_by=frozenset({"LogGroupName"}),
)
