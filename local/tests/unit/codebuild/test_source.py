"""Source zips of every kind of brokenness."""

from __future__ import annotations

import contextlib
import io
import random
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from stepbridge_local.protocols import ObjectSummary, Scope
from stepbridge_local.services.codebuild.errors import SourceError
from stepbridge_local.services.codebuild.source import fetch_source


class OneObject:
    """An ObjectStore whose every object is this."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def list_objects(self, scope: Scope, bucket: str, prefix: str) -> Iterator[ObjectSummary]:  # noqa: ARG002
        return iter(())

    def download(self, scope: Scope, bucket: str, key: str, destination: Path) -> None:  # noqa: ARG002
        destination.write_bytes(self._content)

    def read(self, scope: Scope, bucket: str, key: str) -> Iterator[bytes]:  # noqa: ARG002
        return iter((self._content,))

    def upload(self, scope: Scope, source: Path, bucket: str, key: str) -> None:
        raise NotImplementedError


def zipped(*names: str, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", method) as archive:
        for name in names:
            archive.writestr(name, b"content " * 100)
    return written.getvalue()


def flagged(content: bytes, flag: int) -> bytes:
    """With a bit set in the general flags of both headers of the one member."""
    changed = bytearray(content)
    changed[6] |= flag
    changed[changed.index(b"PK\x01\x02") + 8] |= flag
    return bytes(changed)


GOOD = zipped("a.txt")
BROKEN = {
    "empty": b"",
    "text": b"this is no zip",
    "tar": b"\0" * 10240,
    "cut off": GOOD[:-10],
    "only the end": GOOD[len(GOOD) // 2 :],
    "changed within": GOOD.replace(GOOD[40:44], b"\xff\xff\xff\xff", 1),
    "encrypted": flagged(GOOD, 1),
    "a method of its own": GOOD.replace(b"\x08\x00", b"\x63\x00"),
    "a name too long": zipped("n" * 300),
    "a file that is a folder": zipped("a", "a/b"),
    "a folder that is a file": zipped("a/b", "a"),
    "leads out": zipped("../a"),
    "absolute": zipped("/a"),
}


def unpack(content: bytes, folder: Path) -> None:
    scratch, source = folder / "scratch", folder / "source"
    shutil.rmtree(folder, ignore_errors=True)
    scratch.mkdir(parents=True)
    source.mkdir()
    fetch_source(OneObject(content), Scope("123456789012", "us-east-1"), "bucket/source.zip", source, scratch)


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_zip_is_named(tmp_path: Path, kind: str) -> None:
    """The error says which object, and no other exception escapes."""
    with pytest.raises(SourceError) as caught:
        unpack(BROKEN[kind], tmp_path / "x")
    assert "s3://bucket/source.zip" in str(caught.value)


def test_no_change_of_a_zip_raises_anything_else(tmp_path: Path) -> None:
    """Three hundred archives with some bytes changed."""
    chance = random.Random(9)
    for _ in range(300):
        content = bytearray(zipped("a.txt", "folder/b.txt", method=chance.choice((0, 8, 12, 14))))
        for _ in range(chance.randint(1, 6)):
            content[chance.randrange(len(content))] = chance.randrange(256)
        with contextlib.suppress(SourceError):
            unpack(bytes(content), tmp_path / "x")
