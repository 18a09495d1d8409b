"""Stores files that a build sends in a folder of this machine. Whatever is sent, nothing outside it is touched."""

from __future__ import annotations

import os
import shutil
import tarfile
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final, cast

from stepbridge_local.errors import UnsupportedCommandError

__all__ = ["receive"]

_NO_LINK: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_MAX_BLOCK_BYTES: Final = 16 * 1024 * 1024


class _Blocks:
    """The content of a series of blocks, each after its length, up to an empty block."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._left = 0
        self.ended = False

    def read(self, size: int) -> bytes:
        collected = b""
        while len(collected) < size and not self.ended:
            if self._left == 0:
                self._left = self._next_length()
                continue
            block = self._stream.read(min(self._left, size - len(collected)))
            if not block:
                raise OSError("what was sent broke off")
            self._left -= len(block)
            collected += block
        return collected

    def _next_length(self) -> int:
        line = self._stream.readline(16)
        if not line.rstrip(b"\n").isdigit() or int(line) > _MAX_BLOCK_BYTES:
            raise OSError("what was sent broke off")
        self.ended = int(line) == 0
        return int(line)


def receive(stream: Any, destination: Path, name: str) -> Path:
    """The path of the file or folder that was sent: ``destination``, or below it.

    Raises FileNotFoundError when there was none of that ``name``, and OSError when the rest did not come.
    """
    blocks = _Blocks(stream)
    destination.mkdir(mode=0o700)
    file = destination / "file"
    is_empty = True
    is_folder = False
    try:
        with tarfile.open(fileobj=cast("IO[bytes]", blocks), mode="r|") as archive:
            for member in archive:
                is_empty = False
                is_folder = is_folder or member.name == "."
                _write(archive, member, destination, name)
        while blocks.read(1 << 16):
            pass
    except tarfile.ReadError as error:
        if is_empty and blocks.ended:
            raise FileNotFoundError(name) from None
        raise OSError(f"{name}: what was sent is no archive: {error}") from None
    except tarfile.TarError as error:
        raise OSError(f"{name}: what was sent is no archive: {error}") from None
    if not is_folder and (file.is_symlink() or not file.is_file()):
        raise FileNotFoundError(name)
    return destination if is_folder else file


def _write(archive: tarfile.TarFile, member: tarfile.TarInfo, destination: Path, where: str) -> None:
    parts = PurePosixPath(member.name).parts
    if member.name.startswith("/") or ".." in parts:
        raise UnsupportedCommandError(where, f"the path {member.name!r} leads out of it", "paths within it")
    parent = destination
    for part in parts[:-1]:
        parent = parent / part
        if parent.is_symlink() or not parent.is_dir():
            raise UnsupportedCommandError(where, f"{member.name!r} lies below what is no folder", "paths within it")
    path = parent / parts[-1] if parts else destination
    if member.isdir():
        if parts:
            path.mkdir()
    elif member.issym():
        path.symlink_to(member.linkname)
    elif member.isfile():
        content = archive.extractfile(member)
        assert content is not None
        with content, os.fdopen(os.open(path, _NO_LINK, 0o600), "wb") as written:
            shutil.copyfileobj(content, written)
            os.fchmod(written.fileno(), member.mode & 0o777)
