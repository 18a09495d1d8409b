"""Running the ``docker`` program itself, for a command of a build."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

from stepbridge_local.errors import ConfigurationError
from stepbridge_local.protocols import Output

__all__ = ["DockerProgram", "find_program"]

DEFAULT_HOST: Final = "unix:///var/run/docker.sock"
_PASSED: Final = ("DOCKER_HOST", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH")
_LOOK_SECONDS: Final = 0.2
_TERMINATE_SECONDS: Final = 5.0


@dataclass(frozen=True)
class DockerProgram:
    """The ``docker`` program at ``path``. ``environment`` says how it reaches the engine."""

    path: str
    environment: Mapping[str, str] = field(default_factory=dict)

    def run(
        self,
        arguments: Sequence[str],
        folder: Path,
        environment: Mapping[str, str],
        output: Output,
        is_abandoned: Callable[[], bool],
    ) -> int:
        """Its exit status. Each line of its output goes to ``output``. It is killed if the build no longer waits."""
        process = subprocess.Popen(
            [self.path, *arguments],
            cwd=folder,
            env={**environment, **self.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stdout is not None
        assert process.stderr is not None
        readers = [
            threading.Thread(target=_hand_on, args=(stream, output, is_error), daemon=True)
            for stream, is_error in ((process.stdout, False), (process.stderr, True))
        ]
        for reader in readers:
            reader.start()
        status = _wait(process, is_abandoned)
        for reader in readers:
            reader.join()
        return status


def find_program() -> DockerProgram:
    """The ``docker`` on PATH, for the engine that ``find_engine`` finds. Raises ConfigurationError."""
    path = shutil.which("docker")
    if path is None:
        raise ConfigurationError(
            "docker runtime",
            "no docker program on PATH",
            "Docker's command line, which builds run",
            "install it (Debian: docker.io), or use --runtime process",
        )
    reach = {name: os.environ[name] for name in _PASSED if name in os.environ}
    return DockerProgram(path, {"DOCKER_HOST": DEFAULT_HOST, **reach})


def _hand_on(stream: IO[bytes], output: Output, is_error: bool) -> None:
    with stream:
        for line in stream:
            output(line.decode(errors="replace").rstrip("\r\n"), is_error)


def _wait(process: subprocess.Popen[bytes], is_abandoned: Callable[[], bool]) -> int:
    while True:
        try:
            return process.wait(_LOOK_SECONDS)
        except subprocess.TimeoutExpired:
            if is_abandoned():
                break
    process.terminate()  # the program passes it on to the engine
    try:
        return process.wait(_TERMINATE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()
