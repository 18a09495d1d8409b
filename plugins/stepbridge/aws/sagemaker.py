"""SageMaker: Processing jobs described.

API: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_DescribeProcessingJob.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from stepbridge.aws.calls import aws_call

if TYPE_CHECKING:
    from mypy_boto3_sagemaker import SageMakerClient


class SageMaker:
    """Processing jobs through one boto3 client. Every method raises ``AwsError``."""

    def __init__(self, client: SageMakerClient) -> None:
        self._client = client

    def describe_job(self, name: str) -> Mapping[str, Any]:
        """DescribeProcessingJob's answer. Raises NotFoundError without one."""
        with aws_call("sagemaker:DescribeProcessingJob", name):
            answer: Mapping[str, Any] = self._client.describe_processing_job(ProcessingJobName=name)
        return {key: value for key, value in answer.items() if key != "ResponseMetadata"}
