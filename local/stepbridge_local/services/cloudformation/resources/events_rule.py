"""``AWS::Events::Rule``.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-events-rule.html
"""

from __future__ import annotations

import json
from typing import Any, Final

from stepbridge_local.services.cloudformation.resource_type import (
    Properties,
    ResourceFailedError,
    ResourceType,
    ReturnValues,
    StackContext,
)

__all__ = ["RESOURCE_TYPE"]


def _put_rule(context: StackContext, name: str, properties: Properties) -> str:
    given: dict[str, Any] = {key: str(properties[key]) for key in ("Description", "State") if key in properties}
    answer = context.client("events").put_rule(
        Name=name, EventPattern=json.dumps(properties["EventPattern"], default=str), **given
    )
    arn: str = answer["RuleArn"]
    return arn


def _create(context: StackContext, name: str, properties: Properties) -> str:
    events = context.client("events")
    if any(rule["Name"] == name for rule in events.list_rules(NamePrefix=name)["Rules"]):
        raise ResourceFailedError(f"{name} already exists")
    _put_rule(context, name, properties)
    return name


def _configure(context: StackContext, name: str, old: Properties, new: Properties) -> ReturnValues:
    events = context.client("events")
    arn = _put_rule(context, name, new)
    if gone := {one["Id"] for one in old.get("Targets", [])} - {one["Id"] for one in new.get("Targets", [])}:
        events.remove_targets(Rule=name, Ids=sorted(gone))
    if new.get("Targets"):
        answer = events.put_targets(Rule=name, Targets=[dict(target) for target in new["Targets"]])
        if answer["FailedEntryCount"]:
            raise ResourceFailedError(f"targets of {name}: {answer['FailedEntries']}")
    return ReturnValues(name, {"Arn": arn})


def _delete(context: StackContext, name: str, properties: Properties) -> None:
    events = context.client("events")
    if targets := properties.get("Targets"):
        events.remove_targets(Rule=name, Ids=[target["Id"] for target in targets])
    events.delete_rule(Name=name)


RESOURCE_TYPE: Final = ResourceType(
    name="AWS::Events::Rule",
    required=frozenset({"EventPattern"}),
    optional=frozenset({"Description", "Name", "State", "Targets"}),
    create=_create,
    configure=_configure,
    delete=_delete,
    name_property="Name",
    replaced_by=frozenset({"Name"}),
)
