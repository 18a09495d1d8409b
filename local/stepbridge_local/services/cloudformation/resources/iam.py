"""IAM in stacks: roles, and policies in them and by themselves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from stepbridge_local.services.cloudformation.resources.kinds import Kind, KindContext, Made, Properties

__all__ = ["IAM_KINDS"]


def _document(document: Any) -> str:
    return document if isinstance(document, str) else json.dumps(document, default=str)


# --- AWS::IAM::Role ---------------------------------------------------------------------------------------------------
def _make_role(context: KindContext, name: str, properties: Properties) -> str:
    context.client("iam").create_role(
        RoleName=name,
        AssumeRolePolicyDocument=_document(properties["AssumeRolePolicyDocument"]),
        Path=properties.get("Path", "/"),
    )
    return name


def _configure_role(context: KindContext, name: str, old: Properties, new: Properties) -> Made:
    iam = context.client("iam")
    iam.update_assume_role_policy(RoleName=name, PolicyDocument=_document(new["AssumeRolePolicyDocument"]))
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
    return Made(name, {"Arn": role["Arn"], "RoleId": role["RoleId"]})


def _inline_policies(properties: Properties) -> Mapping[str, str]:
    return {policy["PolicyName"]: _document(policy["PolicyDocument"]) for policy in properties.get("Policies", [])}


def _delete_role(context: KindContext, name: str, _properties: Properties) -> None:
    iam = context.client("iam")
    for policy in iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]:
        iam.detach_role_policy(RoleName=name, PolicyArn=policy["PolicyArn"])
    for policy_name in iam.list_role_policies(RoleName=name)["PolicyNames"]:
        iam.delete_role_policy(RoleName=name, PolicyName=policy_name)
    iam.delete_role(RoleName=name)


# --- AWS::IAM::Policy -------------------------------------------------------------------------------------------------
def _configure_policy(context: KindContext, physical_id: str, old: Properties, new: Properties) -> Made:
    iam = context.client("iam")
    wanted = {(role, new["PolicyName"]) for role in new["Roles"]}
    for role, policy_name in {(role, old["PolicyName"]) for role in old.get("Roles", [])} - wanted:
        iam.delete_role_policy(RoleName=role, PolicyName=policy_name)
    for role, policy_name in wanted:
        iam.put_role_policy(RoleName=role, PolicyName=policy_name, PolicyDocument=_document(new["PolicyDocument"]))
    return Made(physical_id, {"Id": physical_id})


def _delete_policy(context: KindContext, _physical_id: str, properties: Properties) -> None:
    iam = context.client("iam")
    for role in properties["Roles"]:
        if properties["PolicyName"] in iam.list_role_policies(RoleName=role)["PolicyNames"]:
            iam.delete_role_policy(RoleName=role, PolicyName=properties["PolicyName"])


# --- AWS::IAM::ManagedPolicy ------------------------------------------------------------------------------------------
def _make_managed_policy(context: KindContext, name: str, properties: Properties) -> str:
    answer = context.client("iam").create_policy(
        PolicyName=name,
        Path=properties.get("Path", "/"),
        PolicyDocument=_document(properties["PolicyDocument"]),
        Description=properties.get("Description", ""),
    )
    arn: str = answer["Policy"]["Arn"]
    return arn


def _configure_managed_policy(context: KindContext, arn: str, old: Properties, new: Properties) -> Made:
    iam = context.client("iam")
    if old and old["PolicyDocument"] != new["PolicyDocument"]:
        _drop_other_versions(iam, arn)  # a policy has at most five versions
        iam.create_policy_version(PolicyArn=arn, PolicyDocument=_document(new["PolicyDocument"]), SetAsDefault=True)
    attached, wanted = set(old.get("Roles", [])), set(new.get("Roles", []))
    for role in sorted(attached - wanted):
        iam.detach_role_policy(RoleName=role, PolicyArn=arn)
    for role in sorted(wanted - attached):
        iam.attach_role_policy(RoleName=role, PolicyArn=arn)
    return Made(arn, {"PolicyArn": arn})


def _drop_other_versions(iam: Any, arn: str) -> None:
    for version in iam.list_policy_versions(PolicyArn=arn)["Versions"]:
        if not version["IsDefaultVersion"]:
            iam.delete_policy_version(PolicyArn=arn, VersionId=version["VersionId"])


def _delete_managed_policy(context: KindContext, arn: str, _properties: Properties) -> None:
    iam = context.client("iam")
    for role in iam.list_entities_for_policy(PolicyArn=arn)["PolicyRoles"]:
        iam.detach_role_policy(RoleName=role["RoleName"], PolicyArn=arn)
    _drop_other_versions(iam, arn)
    iam.delete_policy(PolicyArn=arn)


IAM_KINDS = (
    Kind(
        name="AWS::IAM::Role",
        required=frozenset({"AssumeRolePolicyDocument"}),
        optional=frozenset(
            {"Description", "ManagedPolicyArns", "MaxSessionDuration", "Path", "Policies", "RoleName", "Tags"}
        ),
        make=_make_role,
        configure=_configure_role,
        delete=_delete_role,
        name_property="RoleName",
        replaced_by=frozenset({"RoleName", "Path"}),
    ),
    Kind(
        name="AWS::IAM::Policy",
        required=frozenset({"PolicyDocument", "PolicyName", "Roles"}),
        optional=frozenset(),
        make=lambda _context, name, _properties: name,
        configure=_configure_policy,
        delete=_delete_policy,
    ),
    Kind(
        name="AWS::IAM::ManagedPolicy",
        required=frozenset({"PolicyDocument"}),
        optional=frozenset({"Description", "ManagedPolicyName", "Path", "Roles"}),
        make=_make_managed_policy,
        configure=_configure_managed_policy,
        delete=_delete_managed_policy,
        name_property="ManagedPolicyName",
        replaced_by=frozenset({"ManagedPolicyName", "Path", "Description"}),
    ),
)
