"""Buckets, image repositories and log groups in stacks."""

from __future__ import annotations

import json
from typing import Any

from botocore.exceptions import ClientError

from stepbridge_local.services.cloudformation.resources.kinds import (
    Kind,
    KindContext,
    Made,
    Properties,
    ResourceFailedError,
)

__all__ = ["STORAGE_KINDS", "boolean", "lower_camel"]


def boolean(value: Any) -> bool:
    """A boolean of a template, where parameters make them strings. Raises ResourceFailedError."""
    text = str(value).lower()
    if text not in ("true", "false"):
        raise ResourceFailedError(f"{value!r}: not a boolean")
    return text == "true"


def lower_camel(value: Any) -> Any:
    """Property names as the services' APIs spell them: ``ScanOnPush`` is ``scanOnPush``."""
    if isinstance(value, dict):
        return {key[:1].lower() + key[1:]: lower_camel(item) for key, item in value.items()}
    if isinstance(value, list):
        return [lower_camel(item) for item in value]
    return value


def _only(properties: Properties, allowed: set[str], where: str) -> Properties:
    if unknown := sorted(properties.keys() - allowed):
        raise ResourceFailedError(f"{where}: the local AWS does not have {', '.join(unknown)}")
    return properties


# --- AWS::S3::Bucket --------------------------------------------------------------------------------------------------
def _bucket_exists(context: KindContext, name: str) -> bool:
    try:
        context.client("s3").head_bucket(Bucket=name)
    except ClientError as error:
        if error.response["Error"]["Code"] == "404":
            return False
        raise
    return True


def _make_bucket(context: KindContext, name: str, _properties: Properties) -> str:
    elsewhere = {"CreateBucketConfiguration": {"LocationConstraint": context.region}}
    context.client("s3").create_bucket(Bucket=name, **({} if context.region == "us-east-1" else elsewhere))
    return name


def _configure_bucket(context: KindContext, name: str, old: Properties, new: Properties) -> Made:
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
    return Made(
        name,
        {
            "Arn": f"arn:aws:s3:::{name}",
            "DomainName": f"{name}.s3.amazonaws.com",
            "DualStackDomainName": f"{name}.s3.dualstack.{context.region}.amazonaws.com",
            "RegionalDomainName": f"{name}.s3.{context.region}.amazonaws.com",
        },
    )


def _encryption_rule(rule: Properties) -> dict[str, Any]:
    _only(rule, {"ServerSideEncryptionByDefault", "BucketKeyEnabled"}, "BucketEncryption")
    answer: dict[str, Any] = {"ApplyServerSideEncryptionByDefault": rule["ServerSideEncryptionByDefault"]}
    if "BucketKeyEnabled" in rule:
        answer["BucketKeyEnabled"] = boolean(rule["BucketKeyEnabled"])
    return answer


def _lifecycle_rule(rule: Properties) -> dict[str, Any]:
    in_days = {"NoncurrentVersionExpiration", "AbortIncompleteMultipartUpload"}
    _only(rule, {"Id", "Status", "Prefix", "ExpirationInDays"} | in_days, "LifecycleConfiguration")
    answer: dict[str, Any] = {"Status": rule["Status"], "Filter": {"Prefix": rule.get("Prefix", "")}}
    if "Id" in rule:
        answer["ID"] = rule["Id"]
    if "ExpirationInDays" in rule:
        answer["Expiration"] = {"Days": int(rule["ExpirationInDays"])}
    for name in in_days & rule.keys():
        answer[name] = {key: int(value) for key, value in rule[name].items()}
    return answer


def _delete_bucket(context: KindContext, name: str, _properties: Properties) -> None:
    context.client("s3").delete_bucket(Bucket=name)


# --- AWS::S3::BucketPolicy --------------------------------------------------------------------------------------------
def _configure_bucket_policy(context: KindContext, physical_id: str, _old: Properties, new: Properties) -> Made:
    document = json.dumps(new["PolicyDocument"], default=str)
    context.client("s3").put_bucket_policy(Bucket=new["Bucket"], Policy=document)
    return Made(physical_id)


def _delete_bucket_policy(context: KindContext, physical_id: str, _properties: Properties) -> None:
    context.client("s3").delete_bucket_policy(Bucket=physical_id)


# --- AWS::ECR::Repository ---------------------------------------------------------------------------------------------
def _repository_exists(context: KindContext, name: str) -> bool:
    ecr = context.client("ecr")
    try:
        ecr.describe_repositories(repositoryNames=[name])
    except ecr.exceptions.RepositoryNotFoundException:
        return False
    return True


def _make_repository(context: KindContext, name: str, properties: Properties) -> str:
    encryption = properties.get("EncryptionConfiguration", {"EncryptionType": "AES256"})
    context.client("ecr").create_repository(repositoryName=name, encryptionConfiguration=lower_camel(encryption))
    return name


def _configure_repository(context: KindContext, name: str, old: Properties, new: Properties) -> Made:
    ecr = context.client("ecr")
    ecr.put_image_tag_mutability(repositoryName=name, imageTagMutability=new.get("ImageTagMutability", "MUTABLE"))
    scanning = new.get("ImageScanningConfiguration", {"ScanOnPush": False})
    ecr.put_image_scanning_configuration(
        repositoryName=name, imageScanningConfiguration={"scanOnPush": boolean(scanning["ScanOnPush"])}
    )
    if lifecycle := new.get("LifecyclePolicy"):
        ecr.put_lifecycle_policy(repositoryName=name, lifecyclePolicyText=lifecycle["LifecyclePolicyText"])
    elif "LifecyclePolicy" in old:
        ecr.delete_lifecycle_policy(repositoryName=name)
    if policy := new.get("RepositoryPolicyText"):
        ecr.set_repository_policy(repositoryName=name, policyText=json.dumps(policy, default=str))
    elif "RepositoryPolicyText" in old:
        ecr.delete_repository_policy(repositoryName=name)
    repository = ecr.describe_repositories(repositoryNames=[name])["repositories"][0]
    if new.get("Tags"):
        ecr.tag_resource(resourceArn=repository["repositoryArn"], tags=new["Tags"])
    return Made(name, {"Arn": repository["repositoryArn"], "RepositoryUri": repository["repositoryUri"]})


def _delete_repository(context: KindContext, name: str, properties: Properties) -> None:
    force = boolean(properties.get("EmptyOnDelete", False))
    context.client("ecr").delete_repository(repositoryName=name, force=force)


# --- AWS::Logs::LogGroup ----------------------------------------------------------------------------------------------
def _make_log_group(context: KindContext, name: str, _properties: Properties) -> str:
    context.client("logs").create_log_group(logGroupName=name)
    return name


def _configure_log_group(context: KindContext, name: str, old: Properties, new: Properties) -> Made:
    logs = context.client("logs")
    if "RetentionInDays" in new:
        logs.put_retention_policy(logGroupName=name, retentionInDays=int(new["RetentionInDays"]))
    elif "RetentionInDays" in old:
        logs.delete_retention_policy(logGroupName=name)
    return Made(name, {"Arn": f"arn:aws:logs:{context.region}:{context.account_id}:log-group:{name}:*"})


def _delete_log_group(context: KindContext, name: str, _properties: Properties) -> None:
    context.client("logs").delete_log_group(logGroupName=name)


STORAGE_KINDS = (
    Kind(
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
        make=_make_bucket,
        configure=_configure_bucket,
        delete=_delete_bucket,
        name_property="BucketName",
        replaced_by=frozenset({"BucketName"}),
        exists=_bucket_exists,
    ),
    Kind(
        name="AWS::S3::BucketPolicy",
        required=frozenset({"Bucket", "PolicyDocument"}),
        optional=frozenset(),
        make=lambda _context, _name, properties: str(properties["Bucket"]),
        configure=_configure_bucket_policy,
        delete=_delete_bucket_policy,
        replaced_by=frozenset({"Bucket"}),
    ),
    Kind(
        name="AWS::ECR::Repository",
        required=frozenset(),
        optional=frozenset(
            {
                "EmptyOnDelete",
                "EncryptionConfiguration",
                "ImageScanningConfiguration",
                "ImageTagMutability",
                "LifecyclePolicy",
                "RepositoryName",
                "RepositoryPolicyText",
                "Tags",
            }
        ),
        make=_make_repository,
        configure=_configure_repository,
        delete=_delete_repository,
        name_property="RepositoryName",
        replaced_by=frozenset({"RepositoryName", "EncryptionConfiguration"}),
        exists=_repository_exists,
    ),
    Kind(
        name="AWS::Logs::LogGroup",
        required=frozenset(),
        optional=frozenset({"LogGroupName", "RetentionInDays"}),
        make=_make_log_group,
        configure=_configure_log_group,
        delete=_delete_log_group,
        name_property="LogGroupName",
        replaced_by=frozenset({"LogGroupName"}),
    ),
)
