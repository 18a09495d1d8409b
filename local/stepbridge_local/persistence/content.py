"""Object content as files: written once under a random name, then only read, linked or removed.

Content is never in memory as a whole. A file that is being sent stays readable if its object is deleted, because the
sender holds it open.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["CHUNK_BYTES", "ContentFiles", "FileContent", "IncomingContent", "StoredContent", "read_chunks"]

CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class StoredContent:
    """Content that lies in a file of ``ContentFiles``. ``md5`` is its hex digest, the ETag of a simple upload."""

    path: Path
    size_bytes: int
    md5: str

    def open(self) -> FileContent:
        """The content for sending. Raises FileNotFoundError when its object was deleted meanwhile."""
        return FileContent(os.open(self.path, os.O_RDONLY), 0, self.size_bytes)

    def read(self) -> bytes:
        return self.path.read_bytes()

    def copy_to(self, destination: Path) -> None:
        """Copy the content to a file of its own: whoever gets it may write to it."""
        shutil.copyfile(self.path, destination)


class FileContent:
    """A part of an open file that behaves like the bytes it holds: length, slices, iteration in chunks.

    Closed when iterated to its end, by ``close`` (WSGI servers call it), or with the last reference to it.
    """

    def __init__(self, descriptor: int, start: int, end: int) -> None:
        self._file = os.fdopen(descriptor, "rb", buffering=0)
        self._start = start
        self._end = end

    def __len__(self) -> int:
        return self._end - self._start

    def __getitem__(self, part: slice) -> FileContent:
        start, end, _ = part.indices(len(self))
        return FileContent(os.dup(self._file.fileno()), self._start + start, self._start + max(start, end))

    def __iter__(self) -> Iterator[bytes]:
        position = self._start
        while position < self._end:
            chunk = os.pread(self._file.fileno(), min(CHUNK_BYTES, self._end - position), position)
            if not chunk:
                raise EOFError(f"{self._end - position} bytes of an object's content are missing")
            position += len(chunk)
            yield chunk
        self.close()

    def close(self) -> None:
        self._file.close()

    __del__ = close


class IncomingContent:
    """Content that no object has yet. ``drop`` removes it unless ``take`` gave it to one."""

    def __init__(self, content: StoredContent) -> None:
        self._content = content
        self._taken = False

    def take(self) -> StoredContent:
        self._taken = True
        return self._content

    def drop(self) -> None:
        if not self._taken:
            self._content.path.unlink(missing_ok=True)


def read_chunks(path: Path) -> Iterator[bytes]:
    """The file's bytes in chunks of at most CHUNK_BYTES."""
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


class ContentFiles:
    """The folder of content files. Thread safe: every file has a name of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        for number in range(256):
            (folder / f"{number:02x}").mkdir(parents=True, exist_ok=True)

    def receive(self, chunks: Iterable[bytes]) -> StoredContent:
        """Store what ``chunks`` yield. Whatever ``chunks`` raises passes through and leaves no file behind."""
        path = self._new_path()
        md5 = hashlib.md5(usedforsecurity=False)
        size_bytes = 0
        try:
            with path.open("xb") as file:
                for chunk in chunks:
                    file.write(chunk)  # buffered, so that it writes all or raises
                    md5.update(chunk)
                    size_bytes += len(chunk)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return StoredContent(path, size_bytes, md5.hexdigest())

    def link(self, content: StoredContent) -> StoredContent:
        """The same content once more, for a copy of the object. Raises FileNotFoundError when it is gone."""
        path = self._new_path()
        os.link(content.path, path)
        return StoredContent(path, content.size_bytes, content.md5)

    def named(self, name: str, size_bytes: int, md5: str) -> StoredContent:
        """Content from its record; ``name`` is what ``name_of`` returned."""
        return StoredContent(self._folder / name, size_bytes, md5)

    def name_of(self, content: StoredContent) -> str:
        return content.path.relative_to(self._folder).as_posix()

    def keep_only(self, names: set[str]) -> None:
        """Remove every file without a record: unfinished uploads, and what was deleted just before a crash."""
        for path in self._folder.glob("??/*"):
            if path.relative_to(self._folder).as_posix() not in names:
                path.unlink()

    def _new_path(self) -> Path:
        name = uuid.uuid4().hex
        return self._folder / name[:2] / name
