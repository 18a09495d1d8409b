"""The running containers, of jobs and of builds, and their folders."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from stepbridge_local.runtimes.process.container import ProcessContainer
from stepbridge_local.runtimes.process.folders import SessionFolder, remove_tree
from stepbridge_local.runtimes.process.sandbox import LaunchSpec

__all__ = ["RunningContainers"]


class RunningContainers:
    """Starts containers, and keeps those that have not ended. Their folders are below ``work_folder``."""

    def __init__(self, work_folder: Path) -> None:
        self._work = SessionFolder(work_folder)
        self._lock = threading.Lock()
        self._running: set[ProcessContainer] = set()
        self.closed = False

    def new_folder(self, name: str) -> Path:
        """A folder for one container to write to; ``launch`` removes it when that has ended."""
        return self._work.new(name)

    def launch(self, spec: LaunchSpec, on_line: Callable[[str], None]) -> ProcessContainer:
        """Start a container. Raises OSError when not even its first process can be started."""
        try:
            container = ProcessContainer(spec, on_line, self._forget)
        except OSError:
            remove_tree(Path(spec.job_folder))
            raise
        with self._lock:
            if container.wait(0) is None:
                self._running.add(container)
            closed = self.closed
        if closed:
            container.stop(0)
        return container

    def close(self) -> None:
        """Kill all that run, wait until they are gone, and remove their folders. Idempotent."""
        with self._lock:
            self.closed = True
            running = list(self._running)
        for container in running:
            container.stop(0)
        for container in running:
            container.join()
        self._work.close()

    def _forget(self, container: ProcessContainer) -> None:
        remove_tree(Path(container.spec.job_folder))
        with self._lock:
            self._running.discard(container)
