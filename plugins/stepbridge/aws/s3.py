"""S3: small objects written, looked for, and folders' files uploaded.

API: https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from boto3.exceptions import S3UploadFailedError
from botocore.exceptions import BotoCoreError, ClientError

from stepbridge.aws.arns import S3Uri
from stepbridge.aws.faults import NotFound, aws_call, fault_of

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

__all__ = ["S3"]


class S3:
    """Objects through one boto3 client. Every method raises ``AwsFault`` and its kinds."""

    def __init__(self, client: S3Client) -> None:
        self._client = client

    def exists(self, uri: S3Uri) -> bool:
        """Whether there is such an object; one HEAD. Raises NotFound when there is no such bucket."""
        try:
            with aws_call("s3:GetObject", str(uri)):
                self._client.head_object(Bucket=uri.bucket, Key=uri.key)
        except NotFound:
            self._require_bucket(uri.bucket)  # HEAD has no body: a missing bucket and a missing key look alike
            return False
        return True

    def _require_bucket(self, bucket: str) -> None:
        with aws_call("s3:ListBucket", bucket):
            self._client.head_bucket(Bucket=bucket)

    def write(self, uri: S3Uri, body: bytes, content_type: str) -> None:
        """Store ``body`` as the object."""
        with aws_call("s3:PutObject", str(uri)):
            self._client.put_object(Bucket=uri.bucket, Key=uri.key, Body=body, ContentType=content_type)

    def upload(self, source: Path, uri: S3Uri) -> None:
        """Store the file as the object, in parts when it is large."""
        try:
            with aws_call("s3:PutObject", str(uri)):
                self._client.upload_file(str(source), uri.bucket, uri.key)
        except S3UploadFailedError as error:
            cause = error.__context__  # boto3 hides the client's error behind its own
            if isinstance(cause, ClientError | BotoCoreError):
                raise fault_of(cause, "s3:PutObject", str(uri)) from error
            raise
