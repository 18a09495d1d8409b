"""A local AWS for tests of state machines, without containers: a job does what its Environment says.

Only the container runtime is replaced; HTTP, moto, the interpreter and the Processing service are the real ones.
A job's Environment: SECONDS (how long it runs), EXIT_CODE, MESSAGE (its exit message), GATE (runs until the file of
that name exists), NEEDS (fails where the file of that name does not exist).

``ScriptedLocalAws(folder)`` starts one in a process of its own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path

from stepbridge_local.protocols import BuiltImage, ContainerExit, ContainerSpec
from stepbridge_local.server import LocalAws
from stepbridge_local.settings import LocalAwsSettings
from stepbridge_local.testing.fork_server import start_child

__all__ = ["ScriptedLocalAws", "ScriptedRuntime"]

KILLED = 137


class ScriptedLocalAws:
    """A local AWS with scripted jobs, running in another process; its data is in ``folder / "data"``."""

    def __init__(self, folder: Path) -> None:
        self.data_dir = folder / "data"
        self._log = folder / "log"
        self._log.touch()
        self._connection, its_end = Pipe()
        self._process = start_child(_serve, folder, its_end, log=self._log)
        its_end.close()
        try:
            self.endpoint_url = str(self._connection.recv())
        except EOFError:
            raise AssertionError(f"the local AWS did not start:\n{self._log.read_text()}") from None

    def close(self) -> None:
        """End it. Fails if it has had an error."""
        self._connection.close()
        self._process.join(120)
        assert self._process.exitcode == 0, self._log.read_text()
        assert "Traceback" not in self._log.read_text(), self._log.read_text()


class ScriptedContainer:
    """Ends after the time or when the gate opens, as its environment says, or at once when it is stopped."""

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
        """Does nothing: all containers end with the process."""


def _serve(folder: Path, connection: Connection) -> None:
    """Serve until the other end of the connection is closed, after sending the endpoint to it."""
    image = folder / "image"
    image.mkdir()
    (image / "Dockerfile").write_text("FROM python:3.11\n")
    settings = LocalAwsSettings(data_dir=folder / "data", port=0, scikit_learn_folder=image, max_concurrent_jobs=8)
    local_aws = LocalAws(settings, runtime=ScriptedRuntime())
    local_aws.start()
    try:
        connection.send(local_aws.endpoint_url)
        connection.poll(None)
    finally:
        local_aws.stop()
