"""The permissions that S3's operations need. Their names differ from those of the operations.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final
from urllib.parse import unquote

from stepbridge_local.services.iam.decision import Need

__all__ = ["S3Request", "s3_needs"]

# Operation: action, and whether it applies to the object (otherwise the bucket). Others have the operation's name.
_ACTIONS: Final[Mapping[str, tuple[str, bool]]] = MappingProxyType(
    {
        "AbortMultipartUpload": ("AbortMultipartUpload", True),
        "CompleteMultipartUpload": ("PutObject", True),
        "CopyObject": ("PutObject", True),
        "CreateMultipartUpload": ("PutObject", True),
        "DeleteObject": ("DeleteObject", True),
        "DeleteObjectTagging": ("DeleteObjectTagging", True),
        "GetObject": ("GetObject", True),
        "GetObjectAcl": ("GetObjectAcl", True),
        "GetObjectAttributes": ("GetObjectAttributes", True),
        "GetObjectTagging": ("GetObjectTagging", True),
        "HeadObject": ("GetObject", True),
        "ListParts": ("ListMultipartUploadParts", True),
        "PutObject": ("PutObject", True),
        "PutObjectAcl": ("PutObjectAcl", True),
        "PutObjectTagging": ("PutObjectTagging", True),
        "UploadPart": ("PutObject", True),
        "UploadPartCopy": ("PutObject", True),
        "DeleteBucketCors": ("PutBucketCORS", False),
        "DeleteBucketEncryption": ("PutEncryptionConfiguration", False),
        "DeleteBucketLifecycle": ("PutLifecycleConfiguration", False),
        "DeleteBucketTagging": ("PutBucketTagging", False),
        "DeletePublicAccessBlock": ("PutBucketPublicAccessBlock", False),
        "GetBucketCors": ("GetBucketCORS", False),
        "GetBucketEncryption": ("GetEncryptionConfiguration", False),
        "GetBucketLifecycleConfiguration": ("GetLifecycleConfiguration", False),
        "GetPublicAccessBlock": ("GetBucketPublicAccessBlock", False),
        "HeadBucket": ("ListBucket", False),
        "ListMultipartUploads": ("ListBucketMultipartUploads", False),
        "ListObjectVersions": ("ListBucketVersions", False),
        "ListObjects": ("ListBucket", False),
        "ListObjectsV2": ("ListBucket", False),
        "PutBucketCors": ("PutBucketCORS", False),
        "PutBucketEncryption": ("PutEncryptionConfiguration", False),
        "PutBucketLifecycleConfiguration": ("PutLifecycleConfiguration", False),
        "PutPublicAccessBlock": ("PutBucketPublicAccessBlock", False),
    }
)
_QUERY_KEYS: Final = ("prefix", "delimiter", "max-keys", "versionId")
_HEADER_KEYS: Final = (
    "x-amz-acl",
    "x-amz-copy-source",
    "x-amz-server-side-encryption",
    "x-amz-server-side-encryption-aws-kms-key-id",
    "x-amz-storage-class",
)


@dataclass(frozen=True)
class S3Request:
    """A request to S3. ``headers`` has their names in lower case; ``deleted_keys`` are those of DeleteObjects."""

    operation: str
    partition: str
    bucket: str
    key: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    deleted_keys: Sequence[tuple[str, str]] = ()  # key and version, the version empty for the current one


def s3_needs(request: S3Request) -> list[Need]:
    """The permissions that the request needs."""
    if request.operation == "ListBuckets":
        return [Need("s3:ListAllMyBuckets", "*")]
    bucket_arn = f"arn:{request.partition}:s3:::{request.bucket}"
    if request.operation == "DeleteObjects":
        return [_deletion(bucket_arn, key, version) for key, version in request.deleted_keys]
    action, of_object = _ACTIONS.get(request.operation, (request.operation, bool(request.key)))
    version = request.query.get("versionId", "")
    if version and action in ("GetObject", "DeleteObject", "GetObjectTagging", "PutObjectTagging"):
        action = action.replace("Tagging", "VersionTagging") if "Tagging" in action else f"{action}Version"
    resource = f"{bucket_arn}/{request.key}" if of_object else bucket_arn
    needs = [Need(f"s3:{action}", resource, _context(request))]
    source = request.headers.get("x-amz-copy-source")
    if source is not None and request.operation in ("CopyObject", "UploadPartCopy"):
        path, _, source_version = unquote(source).removeprefix("/").partition("?versionId=")
        suffix = "Version" if source_version else ""
        needs.append(Need(f"s3:GetObject{suffix}", f"arn:{request.partition}:s3:::{path}"))
    return needs


def _deletion(bucket_arn: str, key: str, version: str) -> Need:
    return Need(f"s3:DeleteObject{'Version' if version else ''}", f"{bucket_arn}/{key}")


def _context(request: S3Request) -> Mapping[str, Sequence[str]]:
    found = {f"s3:{name.lower()}": (request.query[name],) for name in _QUERY_KEYS if name in request.query}
    return {**found, **{f"s3:{name}": (request.headers[name],) for name in _HEADER_KEYS if name in request.headers}}
