"""Texts in an unnamed file, which disappears when the process ends."""

from __future__ import annotations

import os
import tempfile
import threading
from pathlib import Path

__all__ = ["Messages", "Place"]

Place = tuple[int, int] | str
"""Where a text is: offset and bytes in the file, or the text itself where the disk was full."""


class Messages:
    """Appended texts, read back by their places. Thread safe."""

    def __init__(self, folder: Path) -> None:
        self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115  open as long as the process
        self._lock = threading.Lock()
        self._end = 0

    def append(self, text: str) -> Place:
        """The place of the text, for ``read``."""
        content = text.encode("utf-8", "surrogatepass")
        with self._lock:
            try:
                written = os.pwrite(self._file.fileno(), content, self._end)
            except OSError:
                return text
            if written < len(content):  # the disk is full
                return text
            place = (self._end, written)
            self._end += written
            return place

    def read(self, place: Place) -> str:
        """The text that was appended there."""
        if isinstance(place, str):
            return place
        offset, size = place
        return os.pread(self._file.fileno(), size, offset).decode("utf-8", "surrogatepass")
