"""``AWS::IAM::Policy``.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-iam-policy.html
"""

from __future__ import annotations

from typing import Final

from stepbridge_local.services.cloudformation.properties import policy_text
from stepbridge_local.services.cloudformation.resource_type import Properties, ResourceType, ReturnValues, StackContext

__all__ = ["RESOURCE_TYPE"]


def _configure(context: StackContext, physical_id: str, old: Properties, new: Properties) -> ReturnValues:
    iam = context.client("iam")
    wanted = {(role, new["PolicyName"]) for role in new["Roles"]}
    for role, policy_name in {(role, old["PolicyName"]) for role in old.get("Roles", [])} - wanted:
        iam.delete_role_policy(RoleName=role, PolicyName=policy_name)
    for role, policy_name in wanted:
        iam.put_role_policy(RoleName=role, PolicyName=policy_name, PolicyDocument=policy_text(new["PolicyDocument"]))
    return ReturnValues(physical_id, {"Id": physical_id})


def _delete(context: StackContext, _physical_id: str, properties: Properties) -> None:
    iam = context.client("iam")
    for role in properties["Roles"]:
        if properties["PolicyName"] in iam.list_role_policies(RoleName=role)["PolicyNames"]:
            iam.delete_role_policy(RoleName=role, PolicyName=properties["PolicyName"])


RESOURCE_TYPE: Final = ResourceType(
    name="AWS::IAM::Policy",
    required=frozenset({"PolicyDocument", "PolicyName", "Roles"}),
    optional=frozenset(),
    create=lambda _context, name, _properties: name,
    configure=_configure,
    delete=_delete,
)
