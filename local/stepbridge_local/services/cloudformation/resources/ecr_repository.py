"""``AWS::ECR::Repository``.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-ecr-repository.html
"""

from __future__ import annotations

import json
from typing import Final

from stepbridge_local.services.cloudformation.properties import boolean, lower_camel
from stepbridge_local.services.cloudformation.resource_type import Properties, ResourceType, ReturnValues, StackContext

__all__ = ["RESOURCE_TYPE"]


def _exists(context: StackContext, name: str) -> bool:
    ecr = context.client("ecr")
    try:
        ecr.describe_repositories(repositoryNames=[name])
    except ecr.exceptions.RepositoryNotFoundException:
        return False
    return True


def _create(context: StackContext, name: str, properties: Properties) -> str:
    encryption = properties.get("EncryptionConfiguration", {"EncryptionType": "AES256"})
    context.client("ecr").create_repository(repositoryName=name, encryptionConfiguration=lower_camel(encryption))
    return name


def _configure(context: StackContext, name: str, old: Properties, new: Properties) -> ReturnValues:
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
    return ReturnValues(name, {"Arn": repository["repositoryArn"], "RepositoryUri": repository["repositoryUri"]})


def _delete(context: StackContext, name: str, properties: Properties) -> None:
    force = boolean(properties.get("EmptyOnDelete", False))
    context.client("ecr").delete_repository(repositoryName=name, force=force)


RESOURCE_TYPE: Final = ResourceType(
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
    create=_create,
    configure=_configure,
    delete=_delete,
    name_property="RepositoryName",
    replaced_by=frozenset({"RepositoryName", "EncryptionConfiguration"}),
    exists=_exists,
)
