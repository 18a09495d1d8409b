"""What S3 refuses before it looks at anything stored: names, keys, numbers, digests, metadata, tags, request bodies.

moto accepts most of it, or fails of itself. The limits are those of
https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html (of general purpose buckets),
https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html,
https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html and of the pages of the operations; the errors
are those of https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from urllib.parse import parse_qsl, unquote_to_bytes
from xml.etree import ElementTree

from stepbridge_local.protocols import ServiceError

__all__ = ["S3Call", "problem_of_body", "problem_of_call"]

_MOST_KEY_BYTES: Final = 1024
_MOST_METADATA_BYTES: Final = 2048
_MOST_DELETED: Final = 1000
_MOST_PARTS: Final = 10_000
_MOST_BUCKET_TAGS: Final = 50
_MOST_SIGNED_SECONDS: Final = 7 * 24 * 3600
_DATE: Final = re.compile(r"\d{8}T\d{6}Z", re.ASCII)
_SIGNATURE_4: Final = (
    *("X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Signature", "X-Amz-Date", "X-Amz-SignedHeaders", "X-Amz-Expires"),
)
_CREDENTIAL_PARTS: Final = ("<YOUR-AKID>", "YYYYMMDD", "REGION", "SERVICE", "aws4_request")
_INTEGER: Final = re.compile(r"[+-]?\d{1,10}", re.ASCII)
_LARGEST_INTEGER: Final = 2**31 - 1

_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_IP_ADDRESS: Final = re.compile(r"(\d+\.){3}\d+", re.ASCII)
_RESERVED_PREFIXES: Final = ("xn--", "sthree-", "amzn-s3-demo-")
_RESERVED_SUFFIXES: Final = ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3")

# A parameter of the query that is a number, and its range.
_INTEGERS: Final[Mapping[str, tuple[int, int]]] = {
    "max-keys": (0, _LARGEST_INTEGER),
    "max-parts": (0, _LARGEST_INTEGER),
    "max-uploads": (0, _LARGEST_INTEGER),
    "max-buckets": (1, 10_000),
    "part-number-marker": (0, _LARGEST_INTEGER),
}
_COUNTS: Final = frozenset({"x-amz-max-parts", "x-amz-part-number-marker"})  # headers of GetObjectAttributes
_UPLOADS: Final = frozenset({"PutObject", "UploadPart"})
_WRITES: Final = frozenset({"PutObject", "UploadPart", "CopyObject", "UploadPartCopy"})
_COPIES: Final = frozenset({"CopyObject", "UploadPartCopy"})
_NEED_BODY: Final = frozenset(
    {
        *("PutBucketTagging", "PutBucketVersioning", "PutObjectTagging", "PutObjectRetention", "PutObjectLegalHold"),
        *("PutBucketCors", "PutBucketEncryption", "PutBucketLifecycleConfiguration", "PutBucketOwnershipControls"),
        *("PutObjectLockConfiguration", "PutPublicAccessBlock"),
    }
)
_ROOTS: Final[Mapping[str, str]] = {
    "DeleteObjects": "Delete",
    "PutBucketTagging": "Tagging",
    "PutObjectLegalHold": "LegalHold",
    "PutObjectRetention": "Retention",
    "PutObjectTagging": "Tagging",
}
_WITH_METADATA: Final = frozenset({"PutObject", "CreateMultipartUpload", "CopyObject"})
_METADATA: Final = "x-amz-meta-"
_CHECKSUM_BYTES: Final[Mapping[str, int]] = {"crc32": 4, "crc32c": 4, "crc64nvme": 8, "sha1": 20, "sha256": 32}
_CHECKSUMS: Final = frozenset(name.upper() for name in _CHECKSUM_BYTES)
# Headers with a few values: the code of the error for any other value, the values.
_HEADER_VALUES: Final[Mapping[str, tuple[str, frozenset[str]]]] = {
    "x-amz-acl": (
        "InvalidArgument",
        frozenset(
            {
                *("private", "public-read", "public-read-write", "authenticated-read", "aws-exec-read"),
                *("bucket-owner-read", "bucket-owner-full-control", "log-delivery-write"),
            }
        ),
    ),
    "x-amz-server-side-encryption": (
        "InvalidEncryptionAlgorithmError",
        frozenset({"AES256", "aws:fsx", "aws:kms", "aws:kms:dsse"}),
    ),
    "x-amz-metadata-directive": ("InvalidArgument", frozenset({"COPY", "REPLACE"})),
    "x-amz-tagging-directive": ("InvalidArgument", frozenset({"COPY", "REPLACE"})),
}
_LOCATION: Final = re.compile(r"EU|[a-z]{2}(-[a-z]+)+-\d+", re.ASCII)
_LONGEST_TAG_KEY: Final = 128
_LONGEST_TAG_VALUE: Final = 256
_VERSION_ID: Final = re.compile(r"null|[\w.-]{32,1024}", re.ASCII)


@dataclass(frozen=True)
class S3Call:
    """A request to S3. ``key`` is None if its bytes are not UTF-8. ``headers`` has their names in lower case."""

    operation: str
    bucket: str = ""
    key: str | None = ""
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


def problem_of_call(call: S3Call) -> ServiceError | None:
    """Why S3 refuses the request, whatever its body; None if it does not."""
    return next(_problems(call), None)


def _problems(call: S3Call) -> Iterator[ServiceError]:
    if call.operation == "CreateBucket" and not _is_bucket_name(call.bucket):
        yield ServiceError("InvalidBucketName", f"The specified bucket is not valid: {call.bucket!r}")
    if call.key is None:
        yield ServiceError("InvalidURI", "Couldn't parse the specified URI.")
    elif len(call.key.encode()) > _MOST_KEY_BYTES:
        yield ServiceError("KeyTooLongError", f"Your key is too long. MaxSizeAllowed: {_MOST_KEY_BYTES}")
    yield from _query_problems(call)
    yield from _signature_problems(call.query)
    yield from _digest_problems(call)
    if call.operation in _WITH_METADATA and _metadata_bytes(call.headers) > _MOST_METADATA_BYTES:
        text = "Your metadata headers exceed the maximum allowed metadata size"
        yield ServiceError("MetadataTooLarge", f"{text}. MaxSizeAllowed: {_MOST_METADATA_BYTES}")
    if call.operation in _COPIES:
        yield from _copy_problems(call.headers)
    for header, (code, values) in _HEADER_VALUES.items():
        if call.headers.get(header) not in (None, *values):
            yield ServiceError(code, f"{header}: {call.headers[header]!r}; expected one of {', '.join(sorted(values))}")
    names = [name for name, _ in parse_qsl(call.headers.get("x-amz-tagging", ""), keep_blank_values=True)]
    if len(set(names)) < len(names):
        yield _invalid_argument(
            "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag "
            "name duplicates."
        )
    if not all(names):
        yield ServiceError("InvalidTag", "The TagKey you have provided is invalid")


def _is_bucket_name(name: str) -> bool:
    return (
        _BUCKET.fullmatch(name) is not None
        and ".." not in name
        and _IP_ADDRESS.fullmatch(name) is None
        and not name.startswith(_RESERVED_PREFIXES)
        and not name.endswith(_RESERVED_SUFFIXES)
    )


def _query_problems(call: S3Call) -> Iterator[ServiceError]:
    given = {
        **call.query,
        **{name.removeprefix("x-amz-"): call.headers[name] for name in _COUNTS & call.headers.keys()},
    }
    for name, (least, most) in _INTEGERS.items():
        text = given.get(name)
        if text is None:
            continue
        if _INTEGER.fullmatch(text) is None or abs(int(text)) > _LARGEST_INTEGER:
            yield _invalid_argument(f"Provided {name} not an integer or within integer range")
        elif not least <= int(text) <= most:
            yield _invalid_argument(f"Argument {name} must be an integer between {least} and {most}")
    part = call.query.get("partNumber")
    if part is not None and not _is_part_number(part):
        yield _invalid_argument(f"Part number must be an integer between 1 and {_MOST_PARTS}, inclusive")
    if call.operation in _WRITES and (part is None) != ("uploadId" not in call.query):
        present, missing = ("uploadId", "partNumber") if part is None else ("partNumber", "uploadId")
        yield _invalid_argument(f"This operation does not accept {present} without {missing}")
    if call.query.get("encoding-type", "url") != "url":
        yield _invalid_argument("Invalid Encoding Method specified in Request")
    if call.query.get("list-type", "2") != "2":
        yield _invalid_argument("Incorrect List Type specified in Request")
    version = call.query.get("versionId", "null")
    if not version:
        yield _invalid_argument("Version id cannot be the empty string")
    elif _VERSION_ID.fullmatch(version) is None:
        yield _invalid_argument("Invalid version id specified")


def _is_part_number(text: str) -> bool:
    return _INTEGER.fullmatch(text) is not None and 1 <= int(text) <= _MOST_PARTS


def _signature_problems(query: Mapping[str, str]) -> Iterator[ServiceError]:
    """Of a presigned address. Whether it is over is another question."""
    if "Signature" in query or "AWSAccessKeyId" in query:
        yield from _signature_2_problems(query)
    if not query.keys() & {"X-Amz-Signature", "X-Amz-Credential"}:
        return
    if not query.keys() >= set(_SIGNATURE_4):
        names = ", ".join(_SIGNATURE_4[:-1])
        yield _query_signature_error(
            f"Query-string authentication version 4 requires the {names}, and {_SIGNATURE_4[-1]} parameters."
        )
    yield from _credential_problems(query)
    if not _is_moment(query.get("X-Amz-Date", "")):
        yield _query_signature_error(
            "X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"",
        )
    seconds = query.get("X-Amz-Expires", "")
    if _INTEGER.fullmatch(seconds) is None:
        yield _query_signature_error("X-Amz-Expires should be a number")
    elif int(seconds) < 0:
        yield _query_signature_error("X-Amz-Expires must be non-negative")
    elif int(seconds) > _MOST_SIGNED_SECONDS:
        text = "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than"
        yield _query_signature_error(f"{text} {_MOST_SIGNED_SECONDS} seconds")


def _signature_2_problems(query: Mapping[str, str]) -> Iterator[ServiceError]:
    if not query.keys() >= {"Signature", "Expires", "AWSAccessKeyId"}:
        text = "Query-string authentication requires the Signature, Expires and AWSAccessKeyId parameters"
        yield ServiceError("AccessDenied", text, 403)
    elif re.fullmatch(r"\d{1,18}", query["Expires"], re.ASCII) is None:
        text = f"Invalid date (should be seconds since epoch): {query['Expires']}"
        yield ServiceError("AccessDenied", text, 403)


def _credential_problems(query: Mapping[str, str]) -> Iterator[ServiceError]:
    algorithm = query.get("X-Amz-Algorithm")
    if algorithm not in ("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"):
        yield _query_signature_error(
            'X-Amz-Algorithm only supports "AWS4-HMAC-SHA256 and AWS4-ECDSA-P256-SHA256"',
        )
    where = "Error parsing the X-Amz-Credential parameter"
    parts = query.get("X-Amz-Credential", "").split("/")
    if len(parts) != len(_CREDENTIAL_PARTS) or not all(parts):
        expected = "/".join(_CREDENTIAL_PARTS)
        yield _query_signature_error(f'{where}; the Credential is mal-formed; expecting "{expected}".')
        return
    _, day, _, service, end = parts
    if service != "s3":
        yield _query_signature_error(f'{where}; incorrect service "{service}". This endpoint belongs to "s3".')
    if end != "aws4_request":
        yield _query_signature_error(f'{where}; incorrect terminal "{end}". This endpoint uses "aws4_request".')
    if day != query.get("X-Amz-Date", "")[:8]:
        date = query.get("X-Amz-Date", "")
        yield _query_signature_error(
            f'Invalid credential date "{day}". This date is not the same as X-Amz-Date: "{date[:8]}".'
        )


def _is_moment(text: str) -> bool:
    try:
        datetime.strptime(text, "%Y%m%dT%H%M%SZ")
    except ValueError:
        return False
    return _DATE.fullmatch(text) is not None


def _query_signature_error(message: str) -> ServiceError:
    return ServiceError("AuthorizationQueryParametersError", message)


def _digest_problems(call: S3Call) -> Iterator[ServiceError]:
    digest = call.headers.get("content-md5")
    if digest is not None and not _is_digest(digest, 16):
        yield ServiceError("InvalidDigest", "The Content-MD5 you specified was invalid.")
    if call.operation not in _UPLOADS:
        return
    algorithm = call.headers.get("x-amz-sdk-checksum-algorithm", "CRC32").upper()
    if algorithm not in _CHECKSUMS:
        text = "Checksum algorithm provided is unsupported. Please try again with any of the valid types"
        yield ServiceError("InvalidRequest", f"{text}: [{', '.join(sorted(_CHECKSUMS))}]")
    for algorithm, size_bytes in _CHECKSUM_BYTES.items():
        value = call.headers.get(f"x-amz-checksum-{algorithm}")
        if value is not None and not _is_digest(value, size_bytes):
            yield ServiceError("InvalidRequest", f"Value for x-amz-checksum-{algorithm} header is invalid.")


def _is_digest(text: str, size_bytes: int) -> bool:
    try:
        return len(base64.b64decode(text, validate=True)) == size_bytes
    except (binascii.Error, ValueError):
        return False


def _metadata_bytes(headers: Mapping[str, str]) -> int:
    """The bytes of names and values. ``headers`` are decoded as HTTP has them, with one character for each byte."""
    return sum(len(name) - len(_METADATA) + len(headers[name]) for name in headers if name.startswith(_METADATA))


def _copy_problems(headers: Mapping[str, str]) -> Iterator[ServiceError]:
    source, _, version = headers.get("x-amz-copy-source", "").partition("?versionId=")
    try:
        bucket, slash, key = unquote_to_bytes(source).decode().removeprefix("/").partition("/")
    except UnicodeDecodeError:
        yield _invalid_argument("Invalid copy source encoding.")
        return
    if not slash:
        yield _invalid_argument("Copy Source must mention the source bucket and key: sourcebucket/sourcekey")
    elif not bucket:
        yield _invalid_argument("Invalid copy source bucket name")
    elif not key:
        yield _invalid_argument("Invalid copy source object key")
    elif version and _VERSION_ID.fullmatch(version) is None:
        yield _invalid_argument("Invalid version id specified")
    part = headers.get("x-amz-copy-source-range")
    if part is not None:
        found = re.fullmatch(r"bytes=(\d{1,19})-(\d{1,19})", part, re.ASCII)
        if found is None or int(found[1]) > int(found[2]):
            yield _invalid_argument(
                "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the "
                "zero-based offsets of the first and last bytes to copy"
            )


# --- bodies -----------------------------------------------------------------------------------------------------------
def problem_of_body(call: S3Call, body: bytes) -> ServiceError | None:
    """Why S3 refuses the body of a request that is not an upload; None if it does not."""
    digest = call.headers.get("content-md5")
    if digest is not None and base64.b64decode(digest) != hashlib.md5(body, usedforsecurity=False).digest():
        return ServiceError("BadDigest", "The Content-MD5 you specified did not match what we received.")
    if call.operation == "PutBucketPolicy":
        return _problem_of_policy(body)
    if not body.strip():
        return _problem_of_no_body(call.operation)
    try:
        root = ElementTree.fromstring(body)
    except (ElementTree.ParseError, ValueError, LookupError):
        return _malformed_xml()
    return next(_body_problems(call, root), None)


def _problem_of_policy(body: bytes) -> ServiceError | None:
    try:
        policy = json.loads(body)
    except (ValueError, RecursionError):
        policy = None
    if not isinstance(policy, dict):
        return ServiceError("MalformedPolicy", "Policies must be valid JSON and the first byte must be '{'")
    statements = policy.get("Statement")
    if not isinstance(statements, dict | list) or not statements:
        return ServiceError("MalformedPolicy", "Missing required field Statement")
    if not all(isinstance(one, dict) for one in ([statements] if isinstance(statements, dict) else statements)):
        return ServiceError("MalformedPolicy", "Policies must have statements that are objects")
    return None


def _problem_of_no_body(operation: str) -> ServiceError | None:
    if operation == "CompleteMultipartUpload":
        return ServiceError("InvalidRequest", "You must specify at least one part")
    if operation == "DeleteObjects":
        return _malformed_xml()
    if operation in _NEED_BODY:
        return ServiceError("MissingRequestBodyError", "Request Body is empty")
    return None


def _body_problems(call: S3Call, root: ElementTree.Element) -> Iterator[ServiceError]:
    if root.tag.rpartition("}")[2] != _ROOTS.get(call.operation, root.tag.rpartition("}")[2]):
        yield _malformed_xml()
    if call.operation == "DeleteObjects":
        objects = root.findall("{*}Object")
        keys = [element.findtext("{*}Key") for element in objects]
        if len(objects) > _MOST_DELETED or not all(keys):
            yield _malformed_xml()
    elif call.operation == "CompleteMultipartUpload":
        parts = root.findall("{*}Part")
        numbers = [(part.findtext("{*}PartNumber") or "").strip() for part in parts]
        tagged = all(part.findtext("{*}ETag") for part in parts)
        if len(parts) > _MOST_PARTS or not tagged or not all(_INTEGER.fullmatch(number) for number in numbers):
            yield _malformed_xml()
    elif call.operation == "PutBucketVersioning":
        if root.findtext("{*}Status", "Enabled") not in ("Enabled", "Suspended"):
            yield _malformed_xml()
        if root.find("{*}Status") is None:
            yield ServiceError("IllegalVersioningConfigurationException", "The Versioning element must be specified")
    elif call.operation == "CreateBucket":
        location = root.findtext("{*}LocationConstraint")
        if location and _LOCATION.fullmatch(location) is None:
            yield ServiceError("InvalidLocationConstraint", "The specified location-constraint is not valid")
    elif call.operation in ("PutObjectTagging", "PutBucketTagging"):
        tags = root.findall("{*}TagSet/{*}Tag")
        names = [tag.findtext("{*}Key") or "" for tag in tags]
        if not all(0 < len(name) <= _LONGEST_TAG_KEY for name in names):
            yield ServiceError("InvalidTag", "The TagKey you have provided is invalid")
        if any(len(tag.findtext("{*}Value") or "") > _LONGEST_TAG_VALUE for tag in tags):
            yield ServiceError("InvalidTag", "The TagValue you have provided is invalid")
        if call.operation == "PutBucketTagging" and len(names) > _MOST_BUCKET_TAGS:
            yield ServiceError("BadRequest", f"Bucket tag count cannot be greater than {_MOST_BUCKET_TAGS}")
        if any(count > 1 for count in Counter(names).values()):
            yield ServiceError("InvalidTag", "Cannot provide multiple Tags with the same key")


def _malformed_xml() -> ServiceError:
    text = "The XML you provided was not well-formed or did not validate against our published schema"
    return ServiceError("MalformedXML", text)


def _invalid_argument(message: str) -> ServiceError:
    return ServiceError("InvalidArgument", message)
