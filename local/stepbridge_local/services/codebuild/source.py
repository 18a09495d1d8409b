"""The source of a build: a zip, or the objects under a prefix, from S3."""

from __future__ import annotations

import lzma
import re
import stat
import struct
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import Final

from stepbridge_local.protocols import ObjectStore, Scope, ServiceError
from stepbridge_local.services.codebuild.errors import SourceError

__all__ = ["fetch_source", "inside"]

# Zips that are encrypted, truncated or damaged, use another compression, or have invalid or conflicting names.
_BROKEN: Final = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, NotImplementedError, OSError),
    *(OverflowError, RuntimeError, ValueError),
)
_ARN_PREFIX: Final = re.compile(r"arn:aws[a-z-]*:s3:::")


def fetch_source(store: ObjectStore, scope: Scope, location: str, folder: Path, scratch: Path) -> None:
    """Put the source at ``location`` (``bucket/key.zip`` or ``bucket/prefix/``) into ``folder``. Raises SourceError."""
    bucket, _, key = _ARN_PREFIX.sub("", location, count=1).partition("/")
    if not bucket or not key:
        raise SourceError("source location", repr(location), "<bucket>/<key of a zip> or <bucket>/<prefix>/")
    try:
        if key.endswith("/"):
            _fetch_prefix(store, scope, bucket, key, folder)
        else:
            archive = scratch / "source.zip"
            store.download(scope, bucket, key, archive)
            _unzip(archive, folder, f"s3://{bucket}/{key}")
            archive.unlink()
    except ServiceError as error:
        raise SourceError(
            f"s3://{bucket}/{key}", f"{error.code}: {error.message} for primary source", "", "upload it first"
        ) from error


def _fetch_prefix(store: ObjectStore, scope: Scope, bucket: str, prefix: str, folder: Path) -> None:
    found = False
    for summary in store.list_objects(scope, bucket, prefix):
        relative = summary.key.removeprefix(prefix)
        if not relative or relative.endswith("/"):
            continue
        found = True
        destination = inside(folder, relative, f"s3://{bucket}/{summary.key}")
        destination.parent.mkdir(parents=True, exist_ok=True)
        store.download(scope, bucket, summary.key, destination)
    if not found:
        raise SourceError(f"s3://{bucket}/{prefix}", "no object under this prefix", "the files of a source")


def _unzip(archive: Path, folder: Path, where: str) -> None:
    try:
        with zipfile.ZipFile(archive) as opened:
            for member in opened.infolist():
                destination = inside(folder, member.filename, where)
                opened.extract(member, folder)
                mode = member.external_attr >> 16
                if not member.is_dir() and stat.S_IMODE(mode):
                    destination.chmod(stat.S_IMODE(mode) & 0o777)
    except _BROKEN as error:
        raise SourceError(where, f"no zip that can be unpacked: {error}", "a zip archive") from error


def inside(folder: Path, relative: str, where: str) -> Path:
    """The place of a path of the source. Raises SourceError if it leads out of the source."""
    parts = PurePosixPath(relative).parts
    if relative.startswith("/") or ".." in parts:
        raise SourceError(where, f"the path {relative!r} leads out of the source folder", "paths within the source")
    return folder.joinpath(*parts)
