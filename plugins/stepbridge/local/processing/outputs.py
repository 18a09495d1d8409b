"""Outputs of a job: the files that its instances left, stored in S3 at the end or as they appear.

A container may have put anything there. Symbolic links are not followed (byoc-input-and-output page), neither as files
nor as folders nor as the output folder itself; sockets, pipes and devices are no data.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from threading import Event, Thread
from typing import Any

from stepbridge.local.ports import ObjectStore, Scope, ServiceFault
from stepbridge.local.processing.faults import DataUploadFault
from stepbridge.local.processing.s3_uri import join

__all__ = ["CONTINUOUS_INTERVAL_SECONDS", "ContinuousUpload", "create_folders", "files_below", "upload_at_end"]

CONTINUOUS_INTERVAL_SECONDS = 0.5


def create_folders(outputs: Sequence[Mapping[str, Any]], ml_folder: Path) -> None:
    """Make the folder of each output, which a container finds when it starts (API page ProcessingS3Output)."""
    for output in outputs:
        if "LocalPath" in output["S3Output"]:
            _folder(output, ml_folder).mkdir(parents=True, exist_ok=True)


def files_below(folder: Path, root: Path) -> Iterator[tuple[str, Path]]:
    """Relative posix path and place of each regular file below ``folder``, in order.

    Nothing when a part of the way from ``root`` to ``folder`` is a symbolic link or is missing. Raises OSError for a
    folder that cannot be read: what is in it would be lost.
    """
    way = [folder, *folder.parents]
    if any(part.is_symlink() for part in way[: way.index(root)]):
        return
    for parent, folders, names in os.walk(folder, onerror=_unless_gone, followlinks=False):
        folders.sort()
        for name in sorted(names):
            path = Path(parent) / name
            # Looked at as it is: is_file() alone would follow a link.
            if not path.is_symlink() and path.is_file():
                yield path.relative_to(folder).as_posix(), path


def _unless_gone(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def upload_at_end(
    store: ObjectStore, scope: Scope, outputs: Sequence[Mapping[str, Any]], ml_folders: Sequence[Path]
) -> None:
    """Store the EndOfJob outputs of every instance. Raises DataUploadFault."""
    for output in outputs:
        if _managed(output, "EndOfJob"):
            for relative, path in _files_of(output, ml_folders):
                _upload(store, scope, output, relative, path)


class ContinuousUpload:
    """Stores the Continuous outputs of a job while it runs: a file is sent again whenever it changed."""

    def __init__(
        self, store: ObjectStore, scope: Scope, outputs: Sequence[Mapping[str, Any]], ml_folders: Sequence[Path]
    ) -> None:
        self._store = store
        self._scope = scope
        self._outputs = [output for output in outputs if _managed(output, "Continuous")]
        self._ml_folders = ml_folders
        self._sent: dict[tuple[str, Path], tuple[int, int]] = {}  # what was sent, by its size and modification time
        self._fault: DataUploadFault | None = None
        self._ended = Event()
        self._thread: Thread | None = None

    def start(self) -> None:
        """Begin watching; does nothing when the job has no Continuous output."""
        if self._outputs:
            self._thread = Thread(target=self._watch, name="continuous-upload", daemon=True)
            self._thread.start()

    def end(self) -> None:
        """Watch no more. Idempotent."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def finish(self) -> None:
        """Send what is left once the containers have ended. Raises DataUploadFault, also for what failed before."""
        self.end()
        if self._fault is not None:
            raise self._fault
        self._send_changed()

    def _watch(self) -> None:
        while not self._ended.wait(CONTINUOUS_INTERVAL_SECONDS):
            try:
                self._send_changed()
            except DataUploadFault as fault:
                self._fault = fault
                return

    def _send_changed(self) -> None:
        for output in self._outputs:
            for relative, path in _files_of(output, self._ml_folders):
                try:
                    self._send(output, relative, path)
                except (DataUploadFault, FileNotFoundError):
                    if path.exists():
                        raise
                    # the container has removed it meanwhile

    def _send(self, output: Mapping[str, Any], relative: str, path: Path) -> None:
        status = path.lstat()
        state = (status.st_size, status.st_mtime_ns)
        if self._sent.get((output["OutputName"], path)) != state:
            _upload(self._store, self._scope, output, relative, path)
            self._sent[output["OutputName"], path] = state


def _managed(output: Mapping[str, Any], upload_mode: str) -> bool:
    return not output["AppManaged"] and output["S3Output"]["S3UploadMode"] == upload_mode


def _folder(output: Mapping[str, Any], ml_folder: Path) -> Path:
    return ml_folder / posixpath.relpath(output["S3Output"]["LocalPath"], "/opt/ml")


def _files_of(output: Mapping[str, Any], ml_folders: Sequence[Path]) -> Iterator[tuple[str, Path]]:
    for ml_folder in ml_folders:
        try:
            yield from files_below(_folder(output, ml_folder), ml_folder)
        except OSError as error:
            name = output["OutputName"]
            raise DataUploadFault(f"ProcessingOutput {name}", f'output "{name}" cannot be read: {error}') from error


def _upload(store: ObjectStore, scope: Scope, output: Mapping[str, Any], relative: str, path: Path) -> None:
    bucket, key = join(output["S3Output"]["S3Uri"], relative)
    try:
        key.encode()
        store.upload(scope, path, bucket, key)
    except (ServiceFault, OSError, UnicodeEncodeError) as fault:
        shown = key.encode(errors="backslashreplace").decode()
        found = f's3://{bucket}/{shown} of output "{output["OutputName"]}": {fault}'
        raise DataUploadFault(f"ProcessingOutput {output['OutputName']}", found) from fault
