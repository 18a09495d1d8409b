"""A local AWS for tests of state machines: no containers run, a job does what its Environment says.

Only the container runtime is replaced; HTTP, moto, the interpreter and the Processing service are the real ones.
A job's Environment: SECONDS (how long it runs), EXIT_CODE, MESSAGE (its exit message), GATE (runs until the file of
that name exists), NEEDS (fails where the file of that name does not exist).

``ScriptedLocalAws(folder)`` starts one in a process of its own: ``python -m stepbridge_local.scripted_jobs FOLDER``,
which prints its endpoint and runs until its standard input ends.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from stepbridge_local.protocols import BuiltImage, ContainerExit, ContainerSpec
from stepbridge_local.server import LocalAws
from stepbridge_local.settings import LocalAwsSettings

__all__ = ["ScriptedLocalAws", "ScriptedRuntime"]

KILLED = 137


class ScriptedLocalAws:
    """A local AWS with scripted jobs, running in another process; its data is in ``folder / "data"``."""

    def __init__(self, folder: Path) -> None:
        self.data_dir = folder / "data"
        self._log = folder / "log"
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "stepbridge_local.scripted_jobs", str(folder)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self._process.stdout is not None
        self.endpoint_url = self._process.stdout.readline().strip()
        assert self.endpoint_url, f"the local AWS did not start:\n{self._log.read_text()}"

    def close(self) -> None:
        """End it; it must have had no error of its own."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        assert self._process.wait(20) == 0, self._log.read_text()
        assert "Traceback" not in self._log.read_text(), self._log.read_text()


class ScriptedContainer:
    """Ends after the time, or once the gate opens, that its environment names; or at once when stopped."""

    def __init__(self, spec: ContainerSpec, on_line: Callable[[str], None]) -> None:
        self._spec = spec
        self._on_line = on_line
        self._stopped = threading.Event()
        self._ended = threading.Event()
        self._exit: ContainerExit | None = None
        threading.Thread(target=self._run, daemon=True).start()

    def wait(self, timeout_seconds: float | None = None) -> ContainerExit | None:
        self._ended.wait(timeout_seconds)
        return self._exit

    def stop(self, grace_seconds: float) -> None:  # noqa: ARG002  it obeys at once
        self._stopped.set()

    def _run(self) -> None:
        environment = self._spec.environment
        self._on_line(f"{self._spec.name} runs")
        gate = environment.get("GATE")
        if gate:
            while not Path(gate).exists() and not self._stopped.wait(0.01):
                continue
        else:
            self._stopped.wait(float(environment.get("SECONDS", "0")))
        if "MESSAGE" in environment:
            (self._spec.ml_folder / "output").mkdir(exist_ok=True)
            (self._spec.ml_folder / "output" / "message").write_text(environment["MESSAGE"])
        code = KILLED if self._stopped.is_set() else int(environment.get("EXIT_CODE", "0"))
        if "NEEDS" in environment and not Path(environment["NEEDS"]).exists():
            code = 1
        self._exit = ContainerExit(code)
        self._ended.set()


class ScriptedRuntime:
    """A container runtime without containers."""

    name = "process"

    def build(
        self, context: Path, dockerfile: str, build_args: Mapping[str, str], log: Callable[[str], None]
    ) -> BuiltImage:
        log(f"{context / dockerfile} with {dict(build_args)}")
        return BuiltImage("sha256:" + "5" * 64, 1, {})

    def start(self, spec: ContainerSpec, on_line: Callable[[str], None]) -> ScriptedContainer:
        return ScriptedContainer(spec, on_line)

    def close(self) -> None:
        """Nothing outlives the process."""


def main(folder: Path) -> None:
    image = folder / "image"
    image.mkdir()
    (image / "Dockerfile").write_text("FROM python:3.11\n")
    settings = LocalAwsSettings(data_dir=folder / "data", port=0, scikit_learn_folder=image, max_concurrent_jobs=8)
    local_aws = LocalAws(settings, runtime=ScriptedRuntime())
    local_aws.start()
    try:
        print(local_aws.endpoint_url, flush=True)
        sys.stdin.read()
    finally:
        local_aws.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
