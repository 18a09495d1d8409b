"""IAM and STS: which account the credentials belong to, and what a role's policies allow.

API: https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html
https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from stepbridge.aws.calls import aws_call

if TYPE_CHECKING:
    from mypy_boto3_iam import IAMClient
    from mypy_boto3_sts import STSClient


def account_id(sts: STSClient) -> str:
    """The account of the credentials, 12 digits. Needs no permission. Raises AwsError without credentials."""
    with aws_call("sts:GetCallerIdentity", sts.meta.endpoint_url):
        return sts.get_caller_identity()["Account"]


def policy_decision(iam: IAMClient, role_arn: str, action: str, resource: str, context: Mapping[str, str]) -> str:
    """``allowed``, ``implicitDeny`` or ``explicitDeny``, simulated by IAM. Policies of the resource do not count.

    Raises AwsError.
    """
    with aws_call("iam:SimulatePrincipalPolicy", role_arn):
        answer = iam.simulate_principal_policy(
            PolicySourceArn=role_arn,
            ActionNames=[action],
            ResourceArns=[resource],
            ContextEntries=[
                {"ContextKeyName": key, "ContextKeyType": "string", "ContextKeyValues": [value]}
                for key, value in context.items()
            ],
        )
    return answer["EvaluationResults"][0]["EvalDecision"]
