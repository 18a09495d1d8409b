"""Queues, their policies, and rules of EventBridge in stacks."""

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
from stepbridge_local.services.cloudformation.resources.storage import boolean

__all__ = ["MESSAGING_KINDS"]

_QUEUE_DEFAULTS = {
    "DelaySeconds": "0",
    "MaximumMessageSize": "262144",
    "MessageRetentionPeriod": "345600",
    "ReceiveMessageWaitTimeSeconds": "0",
    "VisibilityTimeout": "30",
}


# --- AWS::SQS::Queue --------------------------------------------------------------------------------------------------
def _make_queue(context: KindContext, name: str, _properties: Properties) -> str:
    """The queue's URL at the endpoint that clients know, which is not that of the clients in this process."""
    sqs = context.client("sqs")
    if any(url.rpartition("/")[2] == name for url in sqs.list_queues(QueueNamePrefix=name).get("QueueUrls", [])):
        raise ResourceFailedError(f"{name} already exists")
    url: str = sqs.create_queue(QueueName=name)["QueueUrl"]
    return f"{context.endpoint_url}/{context.account_id}/{name}" if context.endpoint_url else url


def _configure_queue(context: KindContext, url: str, old: Properties, new: Properties) -> Made:
    sqs = context.client("sqs")
    attributes = {key: str(new.get(key, default)) for key, default in _QUEUE_DEFAULTS.items()}
    attributes["SqsManagedSseEnabled"] = str(boolean(new.get("SqsManagedSseEnabled", True))).lower()
    sqs.set_queue_attributes(QueueUrl=url, Attributes=attributes)
    if old.get("Tags"):
        sqs.untag_queue(QueueUrl=url, TagKeys=[tag["Key"] for tag in old["Tags"]])
    if new.get("Tags"):
        sqs.tag_queue(QueueUrl=url, Tags={tag["Key"]: tag["Value"] for tag in new["Tags"]})
    name = url.rpartition("/")[2]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    return Made(url, {"Arn": arn, "QueueName": name, "QueueUrl": url})


def _delete_queue(context: KindContext, url: str, _properties: Properties) -> None:
    sqs = context.client("sqs")
    try:
        sqs.delete_queue(QueueUrl=url)
    except sqs.exceptions.QueueDoesNotExist:
        return  # somebody was quicker: as on AWS, the resource counts as deleted


# --- AWS::SQS::QueuePolicy --------------------------------------------------------------------------------------------
def _configure_queue_policy(context: KindContext, physical_id: str, old: Properties, new: Properties) -> Made:
    _take_policy_off(context, set(old.get("Queues", [])) - set(new["Queues"]))
    document = json.dumps(new["PolicyDocument"], default=str)
    for url in new["Queues"]:
        context.client("sqs").set_queue_attributes(QueueUrl=url, Attributes={"Policy": document})
    return Made(physical_id, {"Id": physical_id})


def _delete_queue_policy(context: KindContext, _physical_id: str, properties: Properties) -> None:
    _take_policy_off(context, set(properties["Queues"]))


def _take_policy_off(context: KindContext, urls: set[str]) -> None:
    sqs = context.client("sqs")
    for url in sorted(urls):
        try:
            sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": ""})
        except sqs.exceptions.QueueDoesNotExist:
            continue  # and its policy with it


# --- AWS::Events::Rule ------------------------------------------------------------------------------------------------
def _put_rule(context: KindContext, name: str, properties: Properties) -> str:
    given: dict[str, Any] = {key: str(properties[key]) for key in ("Description", "State") if key in properties}
    answer = context.client("events").put_rule(
        Name=name, EventPattern=json.dumps(properties["EventPattern"], default=str), **given
    )
    arn: str = answer["RuleArn"]
    return arn


def _make_rule(context: KindContext, name: str, properties: Properties) -> str:
    events = context.client("events")
    if any(rule["Name"] == name for rule in events.list_rules(NamePrefix=name)["Rules"]):
        raise ResourceFailedError(f"{name} already exists")
    _put_rule(context, name, properties)
    return name


def _configure_rule(context: KindContext, name: str, old: Properties, new: Properties) -> Made:
    events = context.client("events")
    arn = _put_rule(context, name, new)
    if gone := {one["Id"] for one in old.get("Targets", [])} - {one["Id"] for one in new.get("Targets", [])}:
        events.remove_targets(Rule=name, Ids=sorted(gone))
    if new.get("Targets"):
        answer = events.put_targets(Rule=name, Targets=[dict(target) for target in new["Targets"]])
        if answer["FailedEntryCount"]:
            raise ResourceFailedError(f"targets of {name}: {answer['FailedEntries']}")
    return Made(name, {"Arn": arn})


def _delete_rule(context: KindContext, name: str, properties: Properties) -> None:
    events = context.client("events")
    if targets := properties.get("Targets"):
        events.remove_targets(Rule=name, Ids=[target["Id"] for target in targets])
    events.delete_rule(Name=name)


MESSAGING_KINDS = (
    Kind(
        name="AWS::SQS::Queue",
        required=frozenset(),
        optional=frozenset({*_QUEUE_DEFAULTS, "QueueName", "SqsManagedSseEnabled", "Tags"}),
        make=_make_queue,
        configure=_configure_queue,
        delete=_delete_queue,
        name_property="QueueName",
        replaced_by=frozenset({"QueueName"}),
    ),
    Kind(
        name="AWS::SQS::QueuePolicy",
        required=frozenset({"PolicyDocument", "Queues"}),
        optional=frozenset(),
        make=lambda _context, name, _properties: name,
        configure=_configure_queue_policy,
        delete=_delete_queue_policy,
    ),
    Kind(
        name="AWS::Events::Rule",
        required=frozenset({"EventPattern"}),
        optional=frozenset({"Description", "Name", "State", "Targets"}),
        make=_make_rule,
        configure=_configure_rule,
        delete=_delete_rule,
        name_property="Name",
        replaced_by=frozenset({"Name"}),
    ),
)
