"""The digests under which an image is found in ECR and a scripts folder in S3. Pure.

``image_digest`` is the rule for images: ``core.names.image_tag`` builds the image's tag from it.
``content_digest`` is of files alone. It depends on their bytes, their paths and whether they are executable, and on
nothing else: not on modification times, owners, or the order in which a file system lists a folder.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from stepbridge.errors import ConfigurationError

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class FileEntry:
    """One file: its path relative to the folder, in posix form, and the SHA-256 of its bytes in 64 hex digits."""

    path: str
    executable: bool
    sha256: str

    def __post_init__(self) -> None:
        path = PurePosixPath(self.path)
        if not self.path or path.is_absolute() or ".." in path.parts or str(path) != self.path:
            raise ConfigurationError(f"file {self.path!r}", "not a plain relative path", "such as 'folder/file.py'")
        if not _SHA256.fullmatch(self.sha256):
            raise ConfigurationError(f"file {self.path!r}", f"digest {self.sha256!r}", "64 hexadecimal digits")


def content_digest(entries: Iterable[FileEntry]) -> str:
    """The SHA-256 over all entries, 64 hex digits, the same in any order.

    Raises ConfigurationError when a path comes twice.
    """
    ordered = sorted(entries, key=lambda entry: entry.path)
    whole = hashlib.sha256()
    previous = None
    for entry in ordered:
        if entry.path == previous:
            raise ConfigurationError(f"file {entry.path!r}", "it is listed twice", "each path once")
        previous = entry.path
        # surrogateescape: a file name need not be UTF-8. No path has a NUL, so records cannot run together.
        path = entry.path.encode("utf-8", "surrogateescape")
        whole.update(path + b"\0" + (b"x" if entry.executable else b"-") + entry.sha256.encode("ascii") + b"\n")
    return whole.hexdigest()


def image_digest(context: Iterable[FileEntry], dockerfile: str, build_args: Mapping[str, str]) -> str:
    """The digest of all that decides an image: the build context, which Dockerfile, the build arguments; 64 hex digits.

    What a base image's tag stands for is not part of it: pin base images by digest where that matters.
    """
    inputs = [f"context {content_digest(context)}", f"dockerfile {dockerfile}"]
    inputs += [f"build-arg {name}={value}" for name, value in sorted(build_args.items())]
    return hashlib.sha256("\0".join(inputs).encode("utf-8", "surrogateescape")).hexdigest()
