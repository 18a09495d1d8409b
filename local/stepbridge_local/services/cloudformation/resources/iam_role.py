"""``AWS::IAM::Role``.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-iam-role.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from stepbridge_local.services.cloudformation.properties import policy_text
from stepbridge_local.services.cloudformation.resource_type import Properties, ResourceType, ReturnValues, StackContext

__all__ = ["RESOURCE_TYPE"]


def _create(context: StackContext, name: str, properties: Properties) -> str:
    context.client("iam").create_role(
        RoleName=name,
        AssumeRolePolicyDocument=policy_text(properties["AssumeRolePolicyDocument"]),
        Path=properties.get("Path", "/"),
    )
    return name


def _configure(context: StackContext, name: str, old: Properties, new: Properties) -> ReturnValues:
    iam = context.client("iam")
    iam.update_assume_role_policy(RoleName=name, PolicyDocument=policy_text(new["AssumeRolePolicyDocument"]))
    iam.update_role(
        RoleName=name,
        Description=new.get("Description", ""),
        MaxSessionDuration=int(new.get("MaxSessionDuration", 3600)),
    )
    before, after = _inline_policies(old), _inline_policies(new)
    for policy_name in before.keys() - after.keys():
        iam.delete_role_policy(RoleName=name, PolicyName=policy_name)
    for policy_name, document in after.items():
        iam.put_role_policy(RoleName=name, PolicyName=policy_name, PolicyDocument=document)
    attached, wanted = set(old.get("ManagedPolicyArns", [])), set(new.get("ManagedPolicyArns", []))
    for arn in sorted(attached - wanted):
        iam.detach_role_policy(RoleName=name, PolicyArn=arn)
    for arn in sorted(wanted - attached):
        iam.attach_role_policy(RoleName=name, PolicyArn=arn)
    if old.get("Tags"):
        iam.untag_role(RoleName=name, TagKeys=[tag["Key"] for tag in old["Tags"]])
    if new.get("Tags"):
        iam.tag_role(RoleName=name, Tags=new["Tags"])
    role = iam.get_role(RoleName=name)["Role"]
    return ReturnValues(name, {"Arn": role["Arn"], "RoleId": role["RoleId"]})


def _inline_policies(properties: Properties) -> Mapping[str, str]:
    return {policy["PolicyName"]: policy_text(policy["PolicyDocument"]) for policy in properties.get("Policies", [])}


def _delete(context: StackContext, name: str, _properties: Properties) -> None:
    iam = context.client("iam")
    for policy in iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]:
        iam.detach_role_policy(RoleName=name, PolicyArn=policy["PolicyArn"])
    for policy_name in iam.list_role_policies(RoleName=name)["PolicyNames"]:
        iam.delete_role_policy(RoleName=name, PolicyName=policy_name)
    iam.delete_role(RoleName=name)


RESOURCE_TYPE: Final = ResourceType(
    name="AWS::IAM::Role",
    required=frozenset({"AssumeRolePolicyDocument"}),
    optional=frozenset(
        {"Description", "ManagedPolicyArns", "MaxSessionDuration", "Path", "Policies", "RoleName", "Tags"}
    ),
    create=_create,
    configure=_configure,
    delete=_delete,
    name_property="RoleName",
    replaced_by=frozenset({"RoleName", "Path"}),
)
