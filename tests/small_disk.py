"""A small disk for tests of full ones: a file system in memory, in a mount namespace of its own."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

MIB = 1024 * 1024
_NAMESPACE = ["unshare", "--user", "--map-root-user", "--mount"]


@dataclass(frozen=True)
class SmallDisk:
    """A disk that programs see at ``folder`` which ``run`` or ``command`` starts, and this process at ``seen``."""

    folder: Path
    seen: Path
    pid: int

    def fill(self, but_bytes: int = 0) -> None:
        """Leave no room, or ``but_bytes``."""
        with (self.seen / "filling").open("wb", buffering=0) as file:
            with contextlib.suppress(OSError):
                while True:
                    file.write(b"x" * MIB)
            file.truncate(file.tell() - but_bytes)

    def free(self) -> None:
        (self.seen / "filling").unlink()

    def files(self) -> list[str]:
        """The files on it, but for what fills it."""
        found = (str(path.relative_to(self.seen)) for path in self.seen.rglob("*") if path.is_file())
        return sorted(name for name in found if name != "filling")

    def command(self, project: Path, *arguments: str) -> list[str]:
        """What starts ``stepbridge`` in the project's folder, where it sees the disk."""
        enter = ["nsenter", "--target", str(self.pid), "--user", "--mount", "--preserve-credentials", f"--wd={project}"]
        return [*enter, "--", sys.executable, "-m", "stepbridge.cli.main", *arguments]

    def run(self, *arguments: str, project: Path) -> subprocess.CompletedProcess[str]:
        """``stepbridge`` with these arguments, at its end."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        command = self.command(project, *arguments)
        return subprocess.run(command, env=clean, capture_output=True, text=True, timeout=300, check=False)


@contextmanager
def small_disk(folder: Path, size_bytes: int) -> Iterator[SmallDisk]:
    """A disk of that size. Skips the test where a user may not mount a file system in memory."""
    folder.mkdir(parents=True, exist_ok=True)
    script = f"mount -t tmpfs -o size={size_bytes} none {folder} && echo mounted && exec sleep infinity"
    try:
        holder = subprocess.Popen(
            [*_NAMESPACE, "sh", "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
    except FileNotFoundError as error:
        pytest.skip(f"no small disk can be made here: {error}")
    try:
        assert holder.stdout is not None
        assert holder.stderr is not None
        if holder.stdout.readline() != "mounted\n":
            pytest.skip(f"no small disk can be made here: {holder.stderr.read().strip()}")
        yield SmallDisk(folder, Path(f"/proc/{holder.pid}/root{folder}"), holder.pid)
    finally:
        holder.kill()
        holder.communicate()
