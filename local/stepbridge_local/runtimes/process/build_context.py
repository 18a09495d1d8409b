"""The build context: which of its files COPY uses, and how they get into an image's file tree.

https://docs.docker.com/reference/dockerfile/#copy; ``dockerignore`` decides what is ignored.
"""

from __future__ import annotations

import difflib
import hashlib
import itertools
import os
import posixpath
import shutil
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from stepbridge_local.errors import Problem
from stepbridge_local.runtimes.process.dockerfile.instructions import CopyFiles
from stepbridge_local.runtimes.process.dockerignore import DockerIgnore, ignore_file_names, parse_dockerignore

__all__ = ["BuildContext", "ContextEntry", "Source", "copied", "digest_of", "resolve_in_root"]

_GLOB: Final = frozenset("*?[")
_MOST_COMPARED: Final = 1000  # files, to find one with a similar name
_MAX_LINKS: Final = 40  # as the kernel


@dataclass(frozen=True)
class ContextEntry:
    """A file, folder or symbolic link of the context. ``path`` is posix, below the source it came with."""

    path: str
    origin: Path

    def digest(self) -> str:
        """A digest of what becomes part of an image: path, kind, whether it is executable, and content."""
        mode = self.origin.lstat().st_mode
        if stat.S_ISLNK(mode):
            content = f"link {os.readlink(self.origin)}"  # noqa: PTH115 - the text itself, not a path
        elif stat.S_ISDIR(mode):
            content = "folder"
        else:
            with self.origin.open("rb") as stream:
                content = hashlib.file_digest(stream, "sha256").hexdigest()
            content += " executable" if mode & 0o111 else ""
        return f"{self.path}\0{content}"


@dataclass(frozen=True)
class Source:
    """One source of a COPY: a file with its name, or the content of a folder."""

    name: str
    is_folder: bool
    entries: tuple[ContextEntry, ...]


class BuildContext:
    """A folder that images are built from. ``dockerfile`` is the Dockerfile's path below it.

    Raises DockerignoreError when its ignore file can't be read.
    """

    def __init__(self, folder: Path, dockerfile: str) -> None:
        self.folder = folder.resolve()
        self.dockerfile = dockerfile
        ignore_file = next((name for name in ignore_file_names(dockerfile) if self._has(name)), None)
        self._ignore = DockerIgnore()
        if ignore_file:
            self._ignore = parse_dockerignore((self.folder / ignore_file).read_text("utf-8-sig"), ignore_file)

    def _has(self, name: str) -> bool:
        file = (self.folder / name).resolve()
        return file.is_file() and file.is_relative_to(self.folder)

    def sources(self, step: CopyFiles) -> tuple[list[Source], list[Problem]]:
        """What the step copies, and its problems: sources that are missing, ignored or outside the context."""
        sources: list[Source] = []
        problems: list[Problem] = []
        for pattern in step.sources:
            found = self._matches(pattern)
            if isinstance(found, str):
                where = f"{self.dockerfile}:{step.line}: COPY"
                problems.append(Problem(where, found, "files inside of the build context", "correct the path"))
                continue
            sources += [self._source(path) for path in found]
        if not problems and len(sources) > 1 and not step.destination.endswith("/"):
            where = f"{self.dockerfile}:{step.line}: COPY"
            several = f"{len(sources)} sources and the destination {step.destination}"
            problems.append(Problem(where, several, "a destination ending in /", "add it"))
        return sources, problems

    def _matches(self, pattern: str) -> list[Path] | str:
        """The paths that a source names, or what is wrong with it."""
        relative = posixpath.normpath(pattern).lstrip("/") or "."
        if relative == ".." or relative.startswith("../"):
            return f"{pattern}, which is outside of the context"
        if _GLOB & set(relative):
            found = sorted(path for path in self.folder.glob(relative) if not self._ignored_path(path))
            missing = f"{pattern}, which matches no file of the context"
        else:
            path = self.folder / relative
            found = [path] if os.path.lexists(path) and not self._hidden(path) else []
            ignored = ", which .dockerignore leaves out" if os.path.lexists(path) else ""
            missing = (
                f"{pattern}{ignored}" if ignored else f"{pattern}, which is not in the context{self._like(relative)}"
            )
        if not found:
            return missing
        outside = [path for path in found if not path.resolve().is_relative_to(self.folder)]
        if outside:
            return f"{pattern}, a symbolic link to outside of the context"
        broken = [path for path in found if not path.exists()]
        return f"{pattern}, a symbolic link to nothing" if broken else found

    def _like(self, name: str) -> str:
        """What the context has under a similar name, as the end of a sentence."""
        paths = (entry.path for entry in itertools.islice(self._entries(self.folder), _MOST_COMPARED))
        close = difflib.get_close_matches(name, list(paths), n=2, cutoff=0.7)
        return f"; it has {' and '.join(close)}" if close else ""

    def _hidden(self, path: Path) -> bool:
        """Whether all of it is ignored. An ignored folder may still contain files that ``!`` includes again."""
        return self._ignored_path(path) and not (path.is_dir() and any(self._entries(path)))

    def _source(self, path: Path) -> Source:
        path = path.resolve() if path.is_symlink() else path
        if path.is_dir():
            return Source(path.name, True, tuple(sorted(self._entries(path), key=lambda entry: entry.path)))
        return Source(path.name, False, (ContextEntry(path.name, path),))

    def _entries(self, folder: Path) -> Iterator[ContextEntry]:
        for parent, folders, files in os.walk(folder):
            for name in (*folders, *files):
                path = Path(parent, name)
                if not self._ignored_path(path):
                    yield ContextEntry(path.relative_to(folder).as_posix(), path)

    def _ignored_path(self, path: Path) -> bool:
        return self._ignore.ignores(path.relative_to(self.folder).as_posix())


def digest_of(sources: Iterable[Source]) -> str:
    """One digest over all that the sources stand for, 64 hex digits."""
    whole = hashlib.sha256()
    for source in sources:
        head = f"folder\0{len(source.entries)}" if source.is_folder else "file"
        for part in (head, *(entry.digest() for entry in source.entries)):
            whole.update(part.encode("utf-8", "surrogateescape") + b"\0\0")
    return whole.hexdigest()


# --- into the file tree -----------------------------------------------------------------------------------------------
def copied(sources: Sequence[Source], step: CopyFiles, root: Path, links: Mapping[str, str]) -> None:
    """Copy the sources to the step's destination below ``root``. ``links`` are links that the root will have."""
    destination = resolve_in_root(root, step.destination, links)
    for source in sources:
        if source.is_folder:
            _make_folder(destination)
            for entry in source.entries:
                _copy(entry.origin, resolve_in_root(root, f"{step.destination}/{entry.path}", links, True), step.mode)
        elif step.destination.endswith("/") or destination.is_dir():
            _copy(source.entries[0].origin, destination / source.name, step.mode)
        else:
            _copy(source.entries[0].origin, destination, step.mode)


def _make_folder(path: Path) -> None:
    path.mkdir(parents=True, exist_ok=True)


def _copy(origin: Path, target: Path, mode: int | None) -> None:
    _make_folder(target.parent)
    if origin.is_dir() and not origin.is_symlink():
        _make_folder(target)
        target.chmod(stat.S_IMODE(origin.stat().st_mode) if mode is None else mode)
        return
    target.unlink(missing_ok=True)  # never write through: the file may be a link, or shared with another image
    shutil.copy2(origin, target, follow_symlinks=False)
    if mode is not None and not target.is_symlink():
        target.chmod(mode)


def resolve_in_root(root: Path, path: str, links: Mapping[str, str], keep_last: bool = False) -> Path:
    """Where an absolute path of the image lies below ``root``: links on the way are followed, but never out of it.

    With ``keep_last`` the last part is not followed. Raises OSError when links go in circles.
    """
    pending = [part for part in path.split("/") if part]
    done: list[str] = []
    followed = 0
    while pending:
        part = pending.pop(0)
        if part in (".", ".."):
            done = done[:-1] if part == ".." else done
            continue
        inside = "/" + "/".join([*done, part])
        real = root.joinpath(*done, part)
        target = os.readlink(real) if real.is_symlink() else links.get(inside)  # noqa: PTH115
        if target is None or (keep_last and not pending):
            done.append(part)
            continue
        followed += 1
        if followed > _MAX_LINKS:
            raise OSError(f"{path}: symbolic links go in circles")
        done = [] if target.startswith("/") else done
        pending = [*(step for step in target.split("/") if step), *pending]
    return root.joinpath(*done)
