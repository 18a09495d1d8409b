"""Outputs of a job: files of its instances, which are stored in S3 at the end or as they appear.

A container may have put anything there. Symbolic links are not followed (byoc-input-and-output page), neither as files
nor as folders nor as the output folder itself. Sockets, pipes and devices are ignored.
"""

from __future__ import annotations

import errno
import os
import posixpath
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import Any

from stepbridge_local.protocols import ObjectStore, Scope, ServiceError
from stepbridge_local.services.sagemaker.errors import DataUploadError
from stepbridge_local.services.sagemaker.s3_uri import join

__all__ = [
    "CONTINUOUS_INTERVAL_SECONDS",
    "ContinuousUpload",
    "create_folders",
    "files_below",
    "opened_without_links",
    "upload_at_end",
]

CONTINUOUS_INTERVAL_SECONDS = 0.5


@dataclass(frozen=True)
class OutputFile:
    """A file of an output: where it lies below LocalPath and on this machine, and the ``/opt/ml`` that it is in."""

    relative: str
    path: Path
    root: Path


def create_folders(outputs: Sequence[Mapping[str, Any]], ml_folder: Path) -> None:
    """Create the folder of each output, which exists when a container starts (API page ProcessingS3Output)."""
    for output in outputs:
        if "LocalPath" in output["S3Output"]:
            _folder(output, ml_folder).mkdir(parents=True, exist_ok=True)


def files_below(folder: Path, root: Path, leave_closed: bool = False) -> Iterator[tuple[str, Path]]:
    """Relative posix path and place of each regular file below ``folder``, in order.

    Empty if a part of the path from ``root`` to ``folder`` is a symbolic link or is missing. Raises OSError for a
    folder that cannot be read, because its content would be lost, unless unreadable folders are to be left out.
    """

    def refuse(error: OSError) -> None:
        if not isinstance(error, (FileNotFoundError, PermissionError) if leave_closed else FileNotFoundError):
            raise error

    way = [folder, *folder.parents]
    if any(part.is_symlink() for part in way[: way.index(root)]):
        return
    for parent, folders, names in os.walk(folder, onerror=refuse, followlinks=False):
        folders.sort()
        for name in sorted(names):
            path = Path(parent) / name
            # is_file() alone would follow a link.
            if not path.is_symlink() and path.is_file():
                yield path.relative_to(folder).as_posix(), path


def upload_at_end(
    store: ObjectStore, scope: Scope, outputs: Sequence[Mapping[str, Any]], ml_folders: Sequence[Path]
) -> None:
    """Store the EndOfJob outputs of every instance. Raises DataUploadError."""
    for output in outputs:
        if _managed(output, "EndOfJob"):
            for file in _files_of(output, ml_folders):
                _upload(store, scope, output, file)


class ContinuousUpload:
    """Stores the Continuous outputs of a job while it runs. A file is sent again whenever it has changed."""

    def __init__(
        self, store: ObjectStore, scope: Scope, outputs: Sequence[Mapping[str, Any]], ml_folders: Sequence[Path]
    ) -> None:
        self._store = store
        self._scope = scope
        self._outputs = [output for output in outputs if _managed(output, "Continuous")]
        self._ml_folders = ml_folders
        self._sent: dict[tuple[str, Path], tuple[int, int]] = {}  # size and modification time of the files sent
        self._error: DataUploadError | None = None
        self._ended = Event()
        self._thread: Thread | None = None

    def start(self) -> None:
        """Begin to watch. Does nothing if the job has no Continuous output."""
        if self._outputs:
            self._thread = Thread(target=self._watch, name="continuous-upload", daemon=True)
            self._thread.start()

    def end(self) -> None:
        """Stop watching. Idempotent."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def finish(self) -> None:
        """Send the rest when the containers have ended. Raises DataUploadError, also for earlier failures."""
        self.end()
        if self._error is not None:
            raise self._error
        self._send_changed()

    def _watch(self) -> None:
        while not self._ended.wait(CONTINUOUS_INTERVAL_SECONDS):
            try:
                # Files of another user (docker) may be unreadable until the container has ended.
                self._send_changed(leave_closed=True)
            except DataUploadError as error:
                self._error = error
                return

    def _send_changed(self, leave_closed: bool = False) -> None:
        for output in self._outputs:
            for file in _files_of(output, self._ml_folders, leave_closed):
                try:
                    self._send(output, file)
                except FileNotFoundError:
                    continue  # the container has removed it meanwhile
                except DataUploadError as error:
                    removed = isinstance(error.__cause__, FileNotFoundError)
                    closed = leave_closed and isinstance(error.__cause__, PermissionError)
                    if not (removed or closed):
                        raise

    def _send(self, output: Mapping[str, Any], file: OutputFile) -> None:
        status = file.path.lstat()
        state = (status.st_size, status.st_mtime_ns)
        if self._sent.get((output["OutputName"], file.path)) != state:
            _upload(self._store, self._scope, output, file)
            self._sent[output["OutputName"], file.path] = state


def _managed(output: Mapping[str, Any], upload_mode: str) -> bool:
    return not output["AppManaged"] and output["S3Output"]["S3UploadMode"] == upload_mode


def _folder(output: Mapping[str, Any], ml_folder: Path) -> Path:
    return ml_folder / posixpath.relpath(output["S3Output"]["LocalPath"], "/opt/ml")


@contextmanager
def opened_without_links(path: Path, root: Path) -> Iterator[Path]:
    """Another path of the regular file ``path``, which keeps pointing to that file while the container runs.

    The container could replace the file, or a folder on the path from ``root``, with a link before it is read. So each
    part is opened without following links. Raises FileNotFoundError if one is a link or has disappeared.
    """
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for part in path.relative_to(root).parts:
            inner = os.open(part, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise FileNotFoundError(errno.ENOENT, "it is no file any more", str(path))
        yield Path(f"/dev/fd/{descriptor}")
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENOTDIR):
            raise
        raise FileNotFoundError(errno.ENOENT, "it is a link now", str(path)) from error
    finally:
        os.close(descriptor)


def _files_of(
    output: Mapping[str, Any], ml_folders: Sequence[Path], leave_closed: bool = False
) -> Iterator[OutputFile]:
    for ml_folder in ml_folders:
        try:
            for relative, path in files_below(_folder(output, ml_folder), ml_folder, leave_closed):
                yield OutputFile(relative, path, ml_folder)
        except OSError as error:
            name = output["OutputName"]
            raise DataUploadError(f"ProcessingOutput {name}", f'output "{name}" cannot be read: {error}') from error


def _upload(store: ObjectStore, scope: Scope, output: Mapping[str, Any], file: OutputFile) -> None:
    bucket, key = join(output["S3Output"]["S3Uri"], file.relative)
    try:
        key.encode()
        with opened_without_links(file.path, file.root) as path:
            store.upload(scope, path, bucket, key)
    except (ServiceError, OSError, UnicodeEncodeError) as error:
        shown = key.encode(errors="backslashreplace").decode()
        found = f's3://{bucket}/{shown} of output "{output["OutputName"]}": {error}'
        raise DataUploadError(f"ProcessingOutput {output['OutputName']}", found) from error
