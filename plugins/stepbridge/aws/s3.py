"""S3: objects found, listed, read, written and uploaded.

API: https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from stepbridge.aws.arns import S3Uri
from stepbridge.aws.calls import aws_call
from stepbridge.errors import NotFoundError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ObjectTypeDef, PaginatorConfigTypeDef

CHUNK_BYTES: Final = 1 << 20
FIRST_KEYS: Final = 10


@dataclass(frozen=True)
class S3Object:
    """One line of ListObjectsV2."""

    key: str
    size_bytes: int
    etag: str
    last_modified: datetime


class S3:
    """Objects through one boto3 client. Every method raises ``AwsError``."""

    def __init__(self, client: S3Client) -> None:
        self._client = client

    def exists(self, uri: S3Uri) -> bool:
        """Whether there is such an object; one HEAD. Raises NotFoundError when there is no such bucket."""
        try:
            with aws_call("s3:GetObject", str(uri)):
                self._client.head_object(Bucket=uri.bucket, Key=uri.key)
        except NotFoundError:
            self.require_bucket(uri.bucket)  # HEAD has no body: a missing bucket and a missing key look alike
            return False
        return True

    def require_bucket(self, bucket: str) -> None:
        """Raises NotFoundError when there is no such bucket, AccessDeniedError when the caller may not list it."""
        with aws_call("s3:ListBucket", bucket):
            self._client.head_bucket(Bucket=bucket)

    def https_url(self, uri: S3Uri) -> str:
        """The object's address by virtual host, right in every partition."""
        return f"https://{uri.bucket}.{urlsplit(self._client.meta.endpoint_url).netloc}/{uri.key}"

    def objects(self, uri: S3Uri, at_most: int) -> tuple[list[S3Object], bool]:
        """The first objects whose keys begin with the URI's, by name, and whether these are all; 1000 a call."""
        found = [
            S3Object(item["Key"], item["Size"], item["ETag"].strip('"'), item["LastModified"])
            for item in self._listed(uri, {"MaxItems": at_most + 1})
        ]
        return found[:at_most], len(found) <= at_most

    def holds_objects(self, uri: S3Uri) -> bool:
        """Whether any object's key begins with the URI's. Empty objects that end with a slash, folders, do not count.

        SageMaker reads an input of type S3Prefix the same way: ``s3://bucket/day`` is ``day``, ``day/a.csv`` and
        ``day2/a.csv`` too
        (https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_ProcessingS3Input.html). One ListObjectsV2,
        unless its first page has only folders.
        """
        contents = self._listed(uri, {"PageSize": FIRST_KEYS})
        return any(item["Size"] or not item["Key"].endswith("/") for item in contents)

    def _listed(self, uri: S3Uri, pagination: PaginatorConfigTypeDef) -> Iterator[ObjectTypeDef]:
        with aws_call("s3:ListBucket", str(uri)):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=uri.bucket, Prefix=uri.key, PaginationConfig=pagination
            )
            for page in pages:
                yield from page.get("Contents", [])

    def read(self, uri: S3Uri) -> Iterator[bytes]:
        """The object's content, chunk by chunk."""
        with aws_call("s3:GetObject", str(uri)):
            body = self._client.get_object(Bucket=uri.bucket, Key=uri.key)["Body"]
            with closing(body):
                yield from body.iter_chunks(CHUNK_BYTES)

    def write(self, uri: S3Uri, body: bytes, content_type: str) -> None:
        """Store ``body`` as the object."""
        with aws_call("s3:PutObject", str(uri)):
            self._client.put_object(Bucket=uri.bucket, Key=uri.key, Body=body, ContentType=content_type)

    def upload(self, source: Path, uri: S3Uri) -> None:
        """Store the file as the object, in parts when it is large."""
        with aws_call("s3:PutObject", str(uri)), source.open("rb") as content:
            self._client.upload_fileobj(content, uri.bucket, uri.key)
