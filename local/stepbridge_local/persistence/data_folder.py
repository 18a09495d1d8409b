"""The data folder of a local AWS. Only one process at a time can use it, and writes its address there."""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import suppress
from pathlib import Path

from stepbridge_local.errors import DataFolderInUseError

__all__ = ["DataFolder"]


class DataFolder:
    """The folder, locked from ``hold`` to ``release``; the death of the process releases it too."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: int | None = None

    @property
    def endpoint_file(self) -> Path:
        return self.path / "endpoint.json"

    def hold(self) -> None:
        """Make the folder, which only its owner may read, and lock it. Raises DataFolderInUseError."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.mkdir(mode=0o700, exist_ok=True)
        with suppress(PermissionError):  # it belongs to another user, who has granted access to this one
            self.path.chmod(0o700)  # it may exist from earlier
        lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise DataFolderInUseError(
                str(self.path),
                f"another local AWS runs on this folder{self._address_of_holder()}",
                remedy="use that one, stop it, or choose another folder with --data-dir",
            ) from None
        self._lock = lock

    def announce(self, url: str) -> None:
        """Write ``endpoint.json``: url and pid, whole or not at all."""
        temporary = self.endpoint_file.with_suffix(".new")
        temporary.write_text(json.dumps({"url": url, "pid": os.getpid()}) + "\n")
        temporary.replace(self.endpoint_file)

    def release(self) -> None:
        if self._lock is None:
            return
        self.endpoint_file.unlink(missing_ok=True)
        os.close(self._lock)
        self._lock = None

    def _address_of_holder(self) -> str:
        try:
            endpoint = json.loads(self.endpoint_file.read_text())
        except FileNotFoundError:
            return ""
        return f", at {endpoint['url']}, process {endpoint['pid']}"
