"""S3 locations as CreateProcessingJob takes them: ``s3://bucket/key``, or the object's https address."""

from __future__ import annotations

import re
from urllib.parse import unquote

__all__ = ["join", "split_uri"]

_S3 = re.compile(r"s3://([^/]+)/?(.*)", re.DOTALL)
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html: regional, dual-stack, global and old forms.
_ENDPOINT = r"s3(?:[.-](?:dualstack\.|fips\.|fips-)?[a-z0-9-]+)?\.amazonaws\.com(?:\.cn)?"
_VIRTUAL_HOSTED = re.compile(rf"https://([a-z0-9.-]+)\.{_ENDPOINT}(?:/(.*))?", re.DOTALL)
_PATH_STYLE = re.compile(rf"https://{_ENDPOINT}/([^/]+)/?(.*)", re.DOTALL)


def split_uri(uri: str) -> tuple[str, str]:
    """Bucket and key of an S3 location; the key may be empty. Raises ValueError for anything else.

    The key of an https address is percent-decoded, as S3 does; that of an ``s3://`` URI is used literally.
    """
    if match := _S3.fullmatch(uri):
        return match.group(1), match.group(2)
    if match := _PATH_STYLE.fullmatch(uri) or _VIRTUAL_HOSTED.fullmatch(uri):
        return match.group(1), unquote(match.group(2) or "")
    raise ValueError(f"{uri!r} is not an S3 location: s3://bucket/key or https://bucket.s3.<region>.amazonaws.com/key")


def join(uri: str, relative: str) -> tuple[str, str]:
    """Bucket and key of ``relative`` below the folder ``uri``."""
    bucket, prefix = split_uri(uri)
    return bucket, f"{prefix.rstrip('/')}/{relative}" if prefix else relative
