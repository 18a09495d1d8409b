"""IAM: what a role's policies allow, by IAM's own simulation.

API: https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from stepbridge.aws.calls import aws_call

if TYPE_CHECKING:
    from mypy_boto3_iam import IAMClient

__all__ = ["Iam"]


class Iam:
    """Policies through one boto3 client. Every method raises ``AwsError``."""

    def __init__(self, client: IAMClient) -> None:
        self._client = client

    def decision(self, role_arn: str, action: str, resource: str, context: Mapping[str, str]) -> str:
        """``allowed``, ``implicitDeny`` or ``explicitDeny``. Policies of the resource do not count."""
        with aws_call("iam:SimulatePrincipalPolicy", role_arn):
            answer = self._client.simulate_principal_policy(
                PolicySourceArn=role_arn,
                ActionNames=[action],
                ResourceArns=[resource],
                ContextEntries=[
                    {"ContextKeyName": key, "ContextKeyType": "string", "ContextKeyValues": [value]}
                    for key, value in context.items()
                ],
            )
        return answer["EvaluationResults"][0]["EvalDecision"]
