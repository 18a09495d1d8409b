"""STS: which account the credentials belong to.

API: https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stepbridge.aws.calls import aws_call

if TYPE_CHECKING:
    from mypy_boto3_sts import STSClient

__all__ = ["Sts"]


class Sts:
    """The caller's identity through one boto3 client. Every method raises ``AwsError``."""

    def __init__(self, client: STSClient) -> None:
        self._client = client

    def account_id(self) -> str:
        """The account of the credentials, 12 digits. Needs no permission, so it fails only without credentials."""
        with aws_call("sts:GetCallerIdentity", self._client.meta.endpoint_url):
            return self._client.get_caller_identity()["Account"]
