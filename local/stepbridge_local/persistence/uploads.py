"""Reads the body of an upload: removes its framing and verifies its checksum, chunk by chunk."""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

from stepbridge_local.persistence.content import CHUNK_BYTES

__all__ = ["Checksum", "ChecksumMismatchError", "TruncatedBodyError", "aws_chunks", "checked", "plain_chunks"]


class _Stream(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...

    def readline(self, size: int = -1, /) -> bytes: ...


class TruncatedBodyError(Exception):
    """The body ended before all of it had come."""


class ChecksumMismatchError(Exception):
    """The body does not match the checksum that the sender computed with ``algorithm``."""

    def __init__(self, algorithm: str) -> None:
        super().__init__(algorithm)
        self.algorithm = algorithm


class Checksum:
    """A checksum of S3's, computed piece by piece. ``value()`` is its base64 text, as in ``x-amz-checksum-*``.

    CRC32C and CRC64NVME need a library of their own, so they are neither computed nor checked: ``supports`` is False.
    """

    def __init__(self, algorithm: str) -> None:
        self.algorithm = algorithm.upper()
        self._crc32 = 0
        self._hash = None if self.algorithm == "CRC32" else hashlib.new(self.algorithm, usedforsecurity=False)

    @staticmethod
    def supports(algorithm: str | None) -> bool:
        return algorithm is not None and algorithm.upper() in ("CRC32", "SHA1", "SHA256")

    def update(self, chunk: bytes) -> None:
        if self._hash is None:
            self._crc32 = zlib.crc32(chunk, self._crc32)
        else:
            self._hash.update(chunk)

    def digest(self) -> bytes:
        return self._crc32.to_bytes(4, "big") if self._hash is None else self._hash.digest()

    def value(self) -> str:
        return base64.b64encode(self.digest()).decode()


def plain_chunks(stream: _Stream) -> Iterator[bytes]:
    """A body that is sent as it is."""
    while chunk := stream.read(CHUNK_BYTES):
        yield chunk


def aws_chunks(stream: _Stream, trailers: dict[str, str]) -> Iterator[bytes]:
    """A body in ``aws-chunked`` framing, signed or not; its trailing headers go to ``trailers``, names in lower case.

    Signatures are not checked: the local AWS takes any key. Raises TruncatedBodyError.
    See https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html
    """
    while size_bytes := _chunk_size(stream):
        yield from _exactly(stream, size_bytes)
        if stream.readline(3).strip():
            raise TruncatedBodyError("a chunk is longer than it says")
    while line := stream.readline().strip():
        name, _, value = line.decode("latin-1").partition(":")
        trailers[name.strip().lower()] = value.strip()


def _chunk_size(stream: _Stream) -> int:
    head = stream.readline(200).split(b";", 1)[0].strip()
    if not head:
        raise TruncatedBodyError("the closing chunk is missing")
    return int(head, 16)


def _exactly(stream: _Stream, size_bytes: int) -> Iterator[bytes]:
    while size_bytes:
        chunk = stream.read(min(CHUNK_BYTES, size_bytes))
        if not chunk:
            raise TruncatedBodyError(f"{size_bytes} bytes are missing")
        size_bytes -= len(chunk)
        yield chunk


def checked(
    chunks: Iterable[bytes], headers: Mapping[str, str], trailers: Mapping[str, str], computed: dict[str, str]
) -> Iterator[bytes]:
    """The chunks, and an exception at the end when they do not fit the sender's Content-MD5 or checksum.

    The checksum is announced by ``x-amz-sdk-checksum-algorithm``, or by an ``x-amz-checksum-*`` in ``headers`` (names
    in lower case) or later in ``trailers``. ``computed`` gets ``{algorithm: value}``. Raises ChecksumMismatchError.
    """
    algorithm = _announced(headers)
    checksum = Checksum(algorithm) if algorithm and Checksum.supports(algorithm) else None
    md5 = Checksum("MD5") if "content-md5" in headers else None
    for chunk in chunks:
        for verified in filter(None, (checksum, md5)):
            verified.update(chunk)
        yield chunk
    if md5 and md5.value() != headers["content-md5"].strip():
        raise ChecksumMismatchError("Content-MD5")
    if algorithm is None:
        return
    name = f"x-amz-checksum-{algorithm.lower()}"
    sent = headers.get(name) or trailers.get(name)
    if checksum and sent and sent != checksum.value():
        raise ChecksumMismatchError(algorithm)
    value = checksum.value() if checksum else sent
    if value:
        computed[algorithm.upper()] = value


def _announced(headers: Mapping[str, str]) -> str | None:
    if algorithm := headers.get("x-amz-sdk-checksum-algorithm"):
        return algorithm
    for name in [*headers, headers.get("x-amz-trailer", "").lower()]:
        if name.startswith("x-amz-checksum-") and not name.endswith(("-algorithm", "-type", "-mode")):
            return name.removeprefix("x-amz-checksum-")
    return None
