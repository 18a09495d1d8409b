"""``AWS::S3::Bucket``.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-s3-bucket.html
"""

from __future__ import annotations

from typing import Any, Final

from botocore.exceptions import ClientError

from stepbridge_local.partitions import dns_suffix, partition
from stepbridge_local.services.cloudformation.properties import boolean, only
from stepbridge_local.services.cloudformation.resource_type import Properties, ResourceType, ReturnValues, StackContext

__all__ = ["RESOURCE_TYPE"]


def _exists(context: StackContext, name: str) -> bool:
    try:
        context.client("s3").head_bucket(Bucket=name)
    except ClientError as error:
        if error.response["Error"]["Code"] == "404":
            return False
        raise
    return True


def _create(context: StackContext, name: str, _properties: Properties) -> str:
    elsewhere = {"CreateBucketConfiguration": {"LocationConstraint": context.region}}
    context.client("s3").create_bucket(Bucket=name, **({} if context.region == "us-east-1" else elsewhere))
    return name


def _configure(context: StackContext, name: str, old: Properties, new: Properties) -> ReturnValues:
    s3 = context.client("s3")
    if encryption := new.get("BucketEncryption"):
        rules = [_encryption_rule(rule) for rule in encryption["ServerSideEncryptionConfiguration"]]
        s3.put_bucket_encryption(Bucket=name, ServerSideEncryptionConfiguration={"Rules": rules})
    elif "BucketEncryption" in old:
        s3.delete_bucket_encryption(Bucket=name)
    if block := new.get("PublicAccessBlockConfiguration"):
        flags = {flag: boolean(value) for flag, value in block.items()}
        s3.put_public_access_block(Bucket=name, PublicAccessBlockConfiguration=flags)
    elif "PublicAccessBlockConfiguration" in old:
        s3.delete_public_access_block(Bucket=name)
    if controls := new.get("OwnershipControls"):
        s3.put_bucket_ownership_controls(Bucket=name, OwnershipControls=controls)
    elif "OwnershipControls" in old:
        s3.delete_bucket_ownership_controls(Bucket=name)
    if versioning := new.get("VersioningConfiguration"):
        s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": versioning["Status"]})
    elif "VersioningConfiguration" in old:
        s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Suspended"})
    if lifecycle := new.get("LifecycleConfiguration"):
        rules = [_lifecycle_rule(rule) for rule in lifecycle["Rules"]]
        s3.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration={"Rules": rules})
    elif "LifecycleConfiguration" in old:
        s3.delete_bucket_lifecycle(Bucket=name)
    if tags := new.get("Tags"):
        s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": tags})
    elif "Tags" in old:
        s3.delete_bucket_tagging(Bucket=name)
    suffix = dns_suffix(context.region)
    return ReturnValues(
        name,
        {
            "Arn": f"arn:{partition(context.region)}:s3:::{name}",
            "DomainName": f"{name}.s3.{suffix}",
            "DualStackDomainName": f"{name}.s3.dualstack.{context.region}.{suffix}",
            "RegionalDomainName": f"{name}.s3.{context.region}.{suffix}",
        },
    )


def _encryption_rule(rule: Properties) -> dict[str, Any]:
    only(rule, {"ServerSideEncryptionByDefault", "BucketKeyEnabled"}, "BucketEncryption")
    answer: dict[str, Any] = {"ApplyServerSideEncryptionByDefault": rule["ServerSideEncryptionByDefault"]}
    if "BucketKeyEnabled" in rule:
        answer["BucketKeyEnabled"] = boolean(rule["BucketKeyEnabled"])
    return answer


def _lifecycle_rule(rule: Properties) -> dict[str, Any]:
    in_days = {"NoncurrentVersionExpiration", "AbortIncompleteMultipartUpload"}
    only(rule, {"Id", "Status", "Prefix", "ExpirationInDays"} | in_days, "LifecycleConfiguration")
    answer: dict[str, Any] = {"Status": rule["Status"], "Filter": {"Prefix": rule.get("Prefix", "")}}
    if "Id" in rule:
        answer["ID"] = rule["Id"]
    if "ExpirationInDays" in rule:
        answer["Expiration"] = {"Days": int(rule["ExpirationInDays"])}
    for name in in_days & rule.keys():
        answer[name] = {key: int(value) for key, value in rule[name].items()}
    return answer


def _delete(context: StackContext, name: str, _properties: Properties) -> None:
    context.client("s3").delete_bucket(Bucket=name)


RESOURCE_TYPE: Final = ResourceType(
    name="AWS::S3::Bucket",
    required=frozenset(),
    optional=frozenset(
        {
            "BucketEncryption",
            "BucketName",
            "LifecycleConfiguration",
            "OwnershipControls",
            "PublicAccessBlockConfiguration",
            "Tags",
            "VersioningConfiguration",
        }
    ),
    create=_create,
    configure=_configure,
    delete=_delete,
    name_property="BucketName",
    replaced_by=frozenset({"BucketName"}),
    exists=_exists,
)
