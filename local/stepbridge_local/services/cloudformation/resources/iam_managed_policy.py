"""``AWS::IAM::ManagedPolicy``.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-iam-managedpolicy.html
"""

from __future__ import annotations

from typing import Any, Final

from stepbridge_local.services.cloudformation.properties import policy_text
from stepbridge_local.services.cloudformation.resource_type import Properties, ResourceType, ReturnValues, StackContext

__all__ = ["RESOURCE_TYPE"]


def _create(context: StackContext, name: str, properties: Properties) -> str:
    answer = context.client("iam").create_policy(
        PolicyName=name,
        Path=properties.get("Path", "/"),
        PolicyDocument=policy_text(properties["PolicyDocument"]),
        Description=properties.get("Description", ""),
    )
    arn: str = answer["Policy"]["Arn"]
    return arn


def _configure(context: StackContext, arn: str, old: Properties, new: Properties) -> ReturnValues:
    iam = context.client("iam")
    if old and old["PolicyDocument"] != new["PolicyDocument"]:
        _drop_other_versions(iam, arn)  # a policy has at most five versions
        iam.create_policy_version(PolicyArn=arn, PolicyDocument=policy_text(new["PolicyDocument"]), SetAsDefault=True)
    attached, wanted = set(old.get("Roles", [])), set(new.get("Roles", []))
    for role in sorted(attached - wanted):
        iam.detach_role_policy(RoleName=role, PolicyArn=arn)
    for role in sorted(wanted - attached):
        iam.attach_role_policy(RoleName=role, PolicyArn=arn)
    return ReturnValues(arn, {"PolicyArn": arn})


def _drop_other_versions(iam: Any, arn: str) -> None:
    for version in iam.list_policy_versions(PolicyArn=arn)["Versions"]:
        if not version["IsDefaultVersion"]:
            iam.delete_policy_version(PolicyArn=arn, VersionId=version["VersionId"])


def _delete(context: StackContext, arn: str, _properties: Properties) -> None:
    iam = context.client("iam")
    for role in iam.list_entities_for_policy(PolicyArn=arn)["PolicyRoles"]:
        iam.detach_role_policy(RoleName=role["RoleName"], PolicyArn=arn)
    _drop_other_versions(iam, arn)
    iam.delete_policy(PolicyArn=arn)


RESOURCE_TYPE: Final = ResourceType(
    name="AWS::IAM::ManagedPolicy",
    required=frozenset({"PolicyDocument"}),
    optional=frozenset({"Description", "ManagedPolicyName", "Path", "Roles"}),
    create=_create,
    configure=_configure,
    delete=_delete,
    name_property="ManagedPolicyName",
    replaced_by=frozenset({"ManagedPolicyName", "Path", "Description"}),
)
