"""The files of a build context or a scripts folder, and the zip of them that is built.

``core.dockerignore`` decides which files of a build context count. The Dockerfile and the ignore file always do, as the
builder reads them.
"""

import hashlib
import os
import re
import shutil
import stat
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from stepbridge.core.dockerignore import DockerIgnore, parse_dockerignore
from stepbridge.errors import ConfigurationError, FolderError
from stepbridge.images.digest import FileEntry

_ZIP_TIME: Final = (1980, 1, 1, 0, 0, 0)  # the earliest that the format knows; the same for every file


@dataclass(frozen=True)
class FolderFile:
    """One file that counts: its posix path below the folder, and where its bytes are."""

    path: str
    source: Path

    @property
    def executable(self) -> bool:
        """Whether any execute bit is set."""
        return bool(self.source.stat().st_mode & 0o111)

    def sha256(self) -> str:
        """The SHA-256 of the bytes, 64 hex digits."""
        with self.source.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()


# --- what counts ------------------------------------------------------------------------------------------------------
def build_context(folder: Path, dockerfile: str = "Dockerfile") -> list[FolderFile]:
    """The files of the build context in path order. ``dockerfile`` is its path below ``folder``.

    Raises FolderError when the folder or the Dockerfile is missing, or a file that counts is a symbolic link to outside
    of the folder or no file at all, and DockerignoreError.
    """
    _require_folder(folder, "the model's container folder with a Dockerfile in it")
    if not (folder / dockerfile).is_file():
        raise FolderError(str(folder / dockerfile), "no such file", "a Dockerfile", "write one, or name another")
    ignore_files = (f"{dockerfile}.dockerignore", ".dockerignore")  # the first that exists is the only one that counts
    ignore_file = next((name for name in ignore_files if (folder / name).is_file()), "")
    ignore = DockerIgnore()
    if ignore_file:
        ignore = parse_dockerignore((folder / ignore_file).read_text("utf-8-sig"), str(folder / ignore_file))
    always = {dockerfile, ignore_file}
    counted = (path for path in _walk(folder, ignore) if path in always or not ignore.ignores(path))
    return [_checked(folder, path, ".dockerignore") for path in sorted(counted)]


def scripts_folder(folder: Path) -> list[FolderFile]:
    """The files of a scripts folder in path order: all but hidden ones, caches and byte code.

    Raises FolderError when the folder is missing, or a file is a symbolic link to outside of it or no file at all.
    """
    _require_folder(folder, "the model's scripts folder")
    left_out = re.compile(r"(^|/)(\.|__pycache__/)|\.py[co]$")
    counted = (path for path in _walk(folder, DockerIgnore()) if not left_out.search(path))
    return [_checked(folder, path, "the scripts folder") for path in sorted(counted)]


def _require_folder(folder: Path, expected: str) -> None:
    if not folder.is_dir():
        found = "it is a file" if folder.exists() else "no such folder"
        raise FolderError(str(folder), found, expected, "check the model card's folders and the project's root")


def _walk(folder: Path, ignore: DockerIgnore) -> Iterator[str]:
    """Every path that is no folder, posix, relative. An ignored folder is not entered if no ``!`` can take it back."""
    prune = not ignore.takes_back
    for parent, folders, files in os.walk(folder):
        below = Path(parent).relative_to(folder)
        links = [name for name in folders if Path(parent, name).is_symlink()]
        folders[:] = [
            name for name in folders if name not in links and not (prune and ignore.ignores((below / name).as_posix()))
        ]
        yield from ((below / name).as_posix() for name in (*files, *links))


def _checked(folder: Path, path: str, ignore_file: str) -> FolderFile:
    source = folder / path
    if source.is_symlink():
        target = source.resolve()
        inside = target.is_relative_to(folder.resolve())
        if not (inside and target.is_file()):
            where_to = source.readlink()
            found = f"a symbolic link to {where_to}, " + ("which is no file" if inside else "outside of the folder")
            remedy = f"copy the file into the folder, or leave the link out with a line in {ignore_file}"
            raise FolderError(str(source), found, "a file, or a link to a file in the same folder", remedy)
        return FolderFile(path, target)
    if not stat.S_ISREG(source.lstat().st_mode):
        remedy = f"leave it out with a line in {ignore_file}"
        raise FolderError(str(source), "a socket, pipe or device", "a file", remedy)
    return FolderFile(path, source)


# --- entries and zip --------------------------------------------------------------------------------------------------
def entries_of(files: Iterable[FolderFile]) -> list[FileEntry]:
    """The files as entries of a content digest; reads every file once."""
    return [FileEntry(file.path, file.executable, file.sha256()) for file in files]


def write_zip(files: Iterable[FolderFile], target: BinaryIO) -> None:
    """Write a zip of the files that is the same for the same content: fixed times, modes 644 or 755, path order."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(files, key=lambda one: one.path):
            entry = zipfile.ZipInfo(file.path, _ZIP_TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3  # Unix, whatever this runs on: the mode below is read only then
            entry.external_attr = (stat.S_IFREG | (0o755 if file.executable else 0o644)) << 16
            with file.source.open("rb") as source, archive.open(entry, "w", force_zip64=True) as packed:
                shutil.copyfileobj(source, packed)


def require_files(folder: Path, files: Iterable[FolderFile], names: Iterable[str]) -> None:
    """Raises ConfigurationError unless all ``names`` are among the files."""
    present = {file.path for file in files}
    missing = [name for name in names if name not in present]
    if missing:
        listed = ", ".join(sorted(present)) or "no file"
        found = f"no {' and no '.join(missing)} (it holds {listed})"
        expected = "a script for every stage that runs in the scikit-learn container"
        remedy = "add the script, or leave its stage out of `stages` in the model card"
        raise ConfigurationError(str(folder), found, expected, remedy)
