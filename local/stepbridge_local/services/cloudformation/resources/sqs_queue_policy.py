"""``AWS::SQS::QueuePolicy``.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-sqs-queuepolicy.html
"""

from __future__ import annotations

import json
from typing import Final

from stepbridge_local.services.cloudformation.resource_type import Properties, ResourceType, ReturnValues, StackContext

__all__ = ["RESOURCE_TYPE"]


def _configure(context: StackContext, physical_id: str, old: Properties, new: Properties) -> ReturnValues:
    _take_policy_off(context, set(old.get("Queues", [])) - set(new["Queues"]))
    document = json.dumps(new["PolicyDocument"], default=str)
    for url in new["Queues"]:
        context.client("sqs").set_queue_attributes(QueueUrl=url, Attributes={"Policy": document})
    return ReturnValues(physical_id, {"Id": physical_id})


def _delete(context: StackContext, _physical_id: str, properties: Properties) -> None:
    _take_policy_off(context, set(properties["Queues"]))


def _take_policy_off(context: StackContext, urls: set[str]) -> None:
    sqs = context.client("sqs")
    for url in sorted(urls):
        try:
            sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": ""})
        except sqs.exceptions.QueueDoesNotExist:
            continue  # and its policy with it


RESOURCE_TYPE: Final = ResourceType(
    name="AWS::SQS::QueuePolicy",
    required=frozenset({"PolicyDocument", "Queues"}),
    optional=frozenset(),
    create=lambda _context, name, _properties: name,
    configure=_configure,
    delete=_delete,
)
