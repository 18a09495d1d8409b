"""``AWS::S3::BucketPolicy``.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-s3-bucketpolicy.html
"""

from __future__ import annotations

import json
from typing import Final

from stepbridge_local.services.cloudformation.resource_type import Properties, ResourceType, ReturnValues, StackContext

__all__ = ["RESOURCE_TYPE"]


def _configure(context: StackContext, physical_id: str, _old: Properties, new: Properties) -> ReturnValues:
    document = json.dumps(new["PolicyDocument"], default=str)
    context.client("s3").put_bucket_policy(Bucket=new["Bucket"], Policy=document)
    return ReturnValues(physical_id)


def _delete(context: StackContext, physical_id: str, _properties: Properties) -> None:
    context.client("s3").delete_bucket_policy(Bucket=physical_id)


RESOURCE_TYPE: Final = ResourceType(
    name="AWS::S3::BucketPolicy",
    required=frozenset({"Bucket", "PolicyDocument"}),
    optional=frozenset(),
    create=lambda _context, _name, properties: str(properties["Bucket"]),
    configure=_configure,
    delete=_delete,
    replaced_by=frozenset({"Bucket"}),
)
