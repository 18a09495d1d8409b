"""A container runtime for tests: plain processes, with a folder standing in for /opt/ml.

No isolation whatsoever: ``/opt/ml`` in commands and scripts is replaced by the job's folder. The rest is real:
processes, signals, exit codes, output line by line.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Thread, Timer

from stepbridge.local.ports import BuiltImage, Container, ContainerExit, ContainerRuntime, ContainerSpec


class SubprocessRuntime:
    """Runs commands. ``images`` maps an image id to the image's own command."""

    name = "subprocess"

    def __init__(self, images: Mapping[str, list[str]]) -> None:
        self.images = images
        self._containers: list[SubprocessContainer] = []

    def build(
        self, context: Path, dockerfile: str, build_args: Mapping[str, str], log: Callable[[str], None]
    ) -> BuiltImage:
        raise NotImplementedError("tests of Processing build no images")

    def start(self, spec: ContainerSpec, on_line: Callable[[str], None]) -> Container:
        own = [] if spec.entrypoint else self.images[spec.image_id]
        command = [*(spec.entrypoint or own), *(spec.arguments or [])]
        if command[0] == "python":  # the image's own, as it were
            command[0] = sys.executable
        for script in spec.ml_folder.rglob("*.py"):
            script.write_text(script.read_text().replace("/opt/ml", str(spec.ml_folder)))
        container = SubprocessContainer(
            [part.replace("/opt/ml", str(spec.ml_folder)) for part in command], spec, on_line
        )
        self._containers.append(container)
        return container

    def close(self) -> None:
        for container in self._containers:
            container.stop(0)


class RecordingRuntime:
    """Another runtime, and what was started on it. ``wrap`` may replace each container."""

    def __init__(self, runtime: ContainerRuntime) -> None:
        self.runtime = runtime
        self.name = runtime.name
        self.started: list[ContainerSpec] = []
        self.containers: list[Container] = []
        self.wrap: Callable[[Container], Container] = lambda container: container

    def build(
        self, context: Path, dockerfile: str, build_args: Mapping[str, str], log: Callable[[str], None]
    ) -> BuiltImage:
        return self.runtime.build(context, dockerfile, build_args, log)

    def start(self, spec: ContainerSpec, on_line: Callable[[str], None]) -> Container:
        self.started.append(spec)
        self.containers.append(self.wrap(self.runtime.start(spec, on_line)))
        return self.containers[-1]

    def close(self) -> None:
        self.runtime.close()


class SubprocessContainer:
    def __init__(self, command: list[str], spec: ContainerSpec, on_line: Callable[[str], None]) -> None:
        environment = {"PATH": os.environ["PATH"], **spec.environment}
        self._error: str | None = None
        try:
            self.process = subprocess.Popen(
                command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
            )
        except OSError as error:
            self._error = str(error)
            return
        self._on_line = on_line
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._on_line(line.decode(errors="replace").rstrip("\r\n"))

    def wait(self, timeout_seconds: float | None = None) -> ContainerExit | None:
        if self._error is not None:
            return ContainerExit(None, self._error)
        self._reader.join(timeout_seconds)
        if self._reader.is_alive():
            return None
        code = self.process.wait()
        return ContainerExit(code if code >= 0 else 128 - code)

    def stop(self, grace_seconds: float) -> None:
        if self._error is None and self.process.poll() is None:
            self._signal(signal.SIGTERM)
            timer = Timer(grace_seconds, self._signal, [signal.SIGKILL])
            timer.daemon = True
            timer.start()

    def _signal(self, number: int) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, number)
