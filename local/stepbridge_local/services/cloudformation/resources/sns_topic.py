"""``AWS::SNS::Topic``.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-sns-topic.html
"""

from __future__ import annotations

from typing import Final

from stepbridge_local.services.cloudformation.properties import boolean, only
from stepbridge_local.services.cloudformation.resource_type import (
    Properties,
    ResourceFailedError,
    ResourceType,
    ReturnValues,
    StackContext,
)

__all__ = ["RESOURCE_TYPE"]

FIFO: Final = ".fifo"


def _create(context: StackContext, name: str, properties: Properties) -> str:
    """The topic's ARN."""
    sns = context.client("sns")
    is_fifo = boolean(properties.get("FifoTopic", False))
    full_name = name + FIFO if is_fifo and "TopicName" not in properties else name
    pages = sns.get_paginator("list_topics").paginate()
    if any(topic["TopicArn"].endswith(f":{full_name}") for page in pages for topic in page["Topics"]):
        raise ResourceFailedError(f"{full_name} already exists")
    attributes = {"FifoTopic": "true"} if is_fifo else {}
    arn: str = sns.create_topic(Name=full_name, Attributes=attributes)["TopicArn"]
    return arn


def _configure(context: StackContext, arn: str, old: Properties, new: Properties) -> ReturnValues:
    sns = context.client("sns")
    sns.set_topic_attributes(TopicArn=arn, AttributeName="DisplayName", AttributeValue=new.get("DisplayName", ""))
    for name in ("KmsMasterKeyId", "ContentBasedDeduplication"):
        if name in new:
            value = str(new[name]) if name == "KmsMasterKeyId" else str(boolean(new[name])).lower()
            sns.set_topic_attributes(TopicArn=arn, AttributeName=name, AttributeValue=value)
    _subscribe(context, arn, new)
    if old.get("Tags"):
        sns.untag_resource(ResourceArn=arn, TagKeys=[tag["Key"] for tag in old["Tags"]])
    if new.get("Tags"):
        sns.tag_resource(ResourceArn=arn, Tags=[{"Key": tag["Key"], "Value": tag["Value"]} for tag in new["Tags"]])
    return ReturnValues(arn, {"TopicArn": arn, "TopicName": arn.rsplit(":", 1)[1]})


def _subscribe(context: StackContext, arn: str, new: Properties) -> None:
    """Make the topic's subscriptions those of the property Subscription; others are removed."""
    sns = context.client("sns")
    wanted = {
        (subscription["Protocol"], subscription["Endpoint"])
        for subscription in (only(one, {"Protocol", "Endpoint"}, "Subscription") for one in new.get("Subscription", []))
    }
    pages = sns.get_paginator("list_subscriptions_by_topic").paginate(TopicArn=arn)
    present = {(one["Protocol"], one["Endpoint"]): one for page in pages for one in page["Subscriptions"]}
    for protocol, endpoint in wanted - present.keys():
        sns.subscribe(TopicArn=arn, Protocol=protocol, Endpoint=endpoint)
    for key in present.keys() - wanted:
        sns.unsubscribe(SubscriptionArn=present[key]["SubscriptionArn"])


def _delete(context: StackContext, arn: str, _properties: Properties) -> None:
    context.client("sns").delete_topic(TopicArn=arn)


RESOURCE_TYPE: Final = ResourceType(
    name="AWS::SNS::Topic",
    required=frozenset(),
    optional=frozenset(
        {"ContentBasedDeduplication", "DisplayName", "FifoTopic", "KmsMasterKeyId", "Subscription", "Tags", "TopicName"}
    ),
    create=_create,
    configure=_configure,
    delete=_delete,
    name_property="TopicName",
    replaced_by=frozenset({"FifoTopic", "TopicName"}),
)
