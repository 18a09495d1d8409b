"""``AWS::SQS::Queue``.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-sqs-queue.html
"""

from __future__ import annotations

from typing import Final

from stepbridge_local.services.cloudformation.properties import boolean
from stepbridge_local.services.cloudformation.resource_type import (
    Properties,
    ResourceFailedError,
    ResourceType,
    ReturnValues,
    StackContext,
)

__all__ = ["RESOURCE_TYPE"]


_DEFAULTS: Final = {
    "DelaySeconds": "0",
    "MaximumMessageSize": "262144",
    "MessageRetentionPeriod": "345600",
    "ReceiveMessageWaitTimeSeconds": "0",
    "VisibilityTimeout": "30",
}


def _create(context: StackContext, name: str, _properties: Properties) -> str:
    """The queue's URL at the endpoint of clients, which differs from that of the clients in this process."""
    sqs = context.client("sqs")
    if any(url.rpartition("/")[2] == name for url in sqs.list_queues(QueueNamePrefix=name).get("QueueUrls", [])):
        raise ResourceFailedError(f"{name} already exists")
    url: str = sqs.create_queue(QueueName=name)["QueueUrl"]
    return f"{context.endpoint_url}/{context.account_id}/{name}" if context.endpoint_url else url


def _configure(context: StackContext, url: str, old: Properties, new: Properties) -> ReturnValues:
    sqs = context.client("sqs")
    attributes = {key: str(new.get(key, default)) for key, default in _DEFAULTS.items()}
    attributes["SqsManagedSseEnabled"] = str(boolean(new.get("SqsManagedSseEnabled", True))).lower()
    sqs.set_queue_attributes(QueueUrl=url, Attributes=attributes)
    if old.get("Tags"):
        sqs.untag_queue(QueueUrl=url, TagKeys=[tag["Key"] for tag in old["Tags"]])
    if new.get("Tags"):
        sqs.tag_queue(QueueUrl=url, Tags={tag["Key"]: tag["Value"] for tag in new["Tags"]})
    name = url.rpartition("/")[2]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    return ReturnValues(url, {"Arn": arn, "QueueName": name, "QueueUrl": url})


def _delete(context: StackContext, url: str, _properties: Properties) -> None:
    sqs = context.client("sqs")
    try:
        sqs.delete_queue(QueueUrl=url)
    except sqs.exceptions.QueueDoesNotExist:
        return  # something else deleted it first: as on AWS, the resource counts as deleted


RESOURCE_TYPE: Final = ResourceType(
    name="AWS::SQS::Queue",
    required=frozenset(),
    optional=frozenset({*_DEFAULTS, "QueueName", "SqsManagedSseEnabled", "Tags"}),
    create=_create,
    configure=_configure,
    delete=_delete,
    name_property="QueueName",
    replaced_by=frozenset({"QueueName"}),
)
