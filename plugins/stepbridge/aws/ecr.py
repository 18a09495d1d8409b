"""ECR: which image a tag stands for, and whether a repository exists.

API: https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_DescribeImages.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stepbridge.aws.calls import aws_call
from stepbridge.errors import NotFoundError

if TYPE_CHECKING:
    from mypy_boto3_ecr import ECRClient


class Ecr:
    """Images through one boto3 client. Every method raises ``AwsError``."""

    def __init__(self, client: ECRClient) -> None:
        self._client = client

    def image_digest(self, repository: str, tag: str) -> str | None:
        """The digest (``sha256:<64 hex>``) of the image tagged ``tag``; None when there is none.

        Raises NotFoundError when the repository does not exist.
        """
        try:
            with aws_call("ecr:DescribeImages", repository):
                answer = self._client.describe_images(repositoryName=repository, imageIds=[{"imageTag": tag}])
        except NotFoundError as error:
            if error.code == "ImageNotFoundException":
                return None
            raise
        return answer["imageDetails"][0]["imageDigest"] if answer["imageDetails"] else None

    def require_repository(self, repository: str) -> None:
        """Raises NotFoundError when the repository does not exist."""
        with aws_call("ecr:DescribeRepositories", repository):
            self._client.describe_repositories(repositoryNames=[repository])
