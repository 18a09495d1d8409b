"""The pages about S3: a bucket's folders and objects, and the objects themselves."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlencode

__all__ = ["Download", "Listing", "address_of", "download", "listing"]

OBJECTS: Final = 1000  # a page of ListObjectsV2
CHUNK_BYTES: Final = 65536


@dataclass(frozen=True)
class Download:
    """An object. The browser shows text and saves everything else. Nothing in it ever runs as a page."""

    name: str
    is_text: bool
    size: int
    chunks: Iterator[bytes]

    def headers(self) -> list[tuple[str, str]]:
        shown = "inline" if self.is_text else "attachment"
        return [
            ("Content-Type", "text/plain; charset=utf-8" if self.is_text else "application/octet-stream"),
            ("Content-Length", str(self.size)),
            ("Content-Disposition", f"{shown}; filename*=UTF-8''{quote(self.name, safe='')}"),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
            ("Content-Security-Policy", "default-src 'none'; sandbox"),
        ]


@dataclass(frozen=True)
class Listing:
    """What lies below ``prefix``: folders with their addresses; objects with address, size and date; the way up.

    Names are relative to the folder that ``prefix`` is in or ends with.
    """

    parents: list[tuple[str, str]]
    folders: list[tuple[str, str]]
    objects: list[tuple[str, str, int, Any]]
    cut: bool


def address_of(bucket: str, prefix: str, place: str) -> str:
    """The address of the page below ``/_stepbridge/`` for ``s3://bucket/prefix``: a folder, or whatever begins so."""
    return f"buckets/{quote(bucket, safe='')}?{urlencode({'prefix': prefix})}&{place}"


def listing(s3: Any, bucket: str, prefix: str, place: str) -> Listing:
    """The first OBJECTS folders and objects whose keys begin with ``prefix``. Raises ClientError."""
    listed = s3.list_objects_v2(Bucket=bucket, Prefix=prefix, Delimiter="/", MaxKeys=OBJECTS)
    names = [item["Prefix"] for item in listed.get("CommonPrefixes", [])]
    steps = prefix.split("/")[:-1]
    folder = prefix[: prefix.rfind("/") + 1]
    parents = [(bucket, "")] + [(step, "/".join(steps[: number + 1]) + "/") for number, step in enumerate(steps)]
    return Listing(
        [(name, address_of(bucket, below, place)) for name, below in parents],
        [(name.removeprefix(folder), address_of(bucket, name, place)) for name in names],
        [
            (
                item["Key"].removeprefix(folder) or item["Key"],
                f"objects/{quote(bucket, safe='')}/{quote(item['Key'], safe='')}?{place}",
                item["Size"],
                item["LastModified"],
            )
            for item in listed.get("Contents", [])
        ],
        listed["IsTruncated"],
    )


def download(s3: Any, bucket: str, key: str) -> Download:
    """The object, read piece by piece. Raises ClientError."""
    answer = s3.get_object(Bucket=bucket, Key=key)
    body = answer["Body"]
    first = body.read(CHUNK_BYTES)
    name = key.rstrip("/").rpartition("/")[2] or "object"
    return Download(name, _is_text(first), answer["ContentLength"], _chunks(first, body))


def _chunks(first: bytes, body: Any) -> Iterator[bytes]:
    chunk = first
    while chunk:
        yield chunk
        chunk = body.read(CHUNK_BYTES)


def _is_text(start: bytes) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(start)  # which may end in the middle of a character
    except UnicodeDecodeError:
        return False
    return b"\0" not in start
