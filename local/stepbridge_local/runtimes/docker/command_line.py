"""Running the ``docker`` program itself, for a command of a build."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

from stepbridge_local.errors import ConfigurationError
from stepbridge_local.protocols import Output
from stepbridge_local.runtimes.docker.buildkit import GET_BUILDKIT

__all__ = ["DockerProgram", "find_program"]

DEFAULT_HOST: Final = "unix:///var/run/docker.sock"
_PASSED: Final = ("DOCKER_HOST", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH")
_VERSION: Final = re.compile(r"version v?(?P<major>\d+)\.")
# From then on BuildKit's client is a plugin of the program; before, it was in it.
_PLUGIN_SINCE: Final = 23
_BUILDKIT_SINCE: Final = 19
_PLUGINS: Final = ".docker/cli-plugins"
_LOOK_SECONDS: Final = 0.2
_TERMINATE_SECONDS: Final = 5.0


@dataclass(frozen=True)
class DockerProgram:
    """The ``docker`` program at ``path``. ``environment`` says how it reaches the engine; ``buildkit``, whether it can
    build with BuildKit."""

    path: str
    environment: Mapping[str, str] = field(default_factory=dict)
    buildkit: bool = False

    def build_environment(self, home: Path, passed: Mapping[str, str]) -> dict[str, str]:
        """The variables of a command, with ``home`` as its home; a build may say ``DOCKER_BUILDKIT=0``."""
        plugins = Path.home() / _PLUGINS
        if plugins.is_dir() and not (home / _PLUGINS).exists():
            (home / _PLUGINS).parent.mkdir()
            (home / _PLUGINS).symlink_to(plugins)
        return {
            "PATH": os.defpath,
            "HOME": str(home),
            **passed,
            # One manifest for each image, without attestations beside it.
            "BUILDX_NO_DEFAULT_ATTESTATIONS": "1",
            "DOCKER_BUILDKIT": "0" if self.get_buildkit(passed) else "1",
        }

    def get_buildkit(self, passed: Mapping[str, str]) -> str | None:
        """None where a command with these variables builds with BuildKit, else how to get that."""
        if not self.buildkit:
            return GET_BUILDKIT
        return "leave DOCKER_BUILDKIT=0 out" if passed.get("DOCKER_BUILDKIT") == "0" else None

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
    """A ``docker`` on PATH, for the engine that ``find_engine`` finds: the first that can build with BuildKit, else the
    first. Raises ConfigurationError."""
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    paths = list(dict.fromkeys(filter(None, (shutil.which("docker", path=folder) for folder in folders))))
    if not paths:
        raise ConfigurationError(
            "docker runtime",
            "no docker program on PATH",
            "Docker's command line, which builds run",
            "install it (Debian: docker.io), or use --runtime process",
        )
    reach = {name: os.environ[name] for name in _PASSED if name in os.environ}
    environment = {"DOCKER_HOST": DEFAULT_HOST, **reach}
    chosen = next(filter(_has_buildkit, paths), None)
    return DockerProgram(chosen or paths[0], environment, chosen is not None)


def _has_buildkit(path: str) -> bool:
    """Whether the program has a client of BuildKit: the plugin buildx, or one of its own."""
    version = _VERSION.search(_printed(path, "--version"))
    if version is not None and _BUILDKIT_SINCE <= int(version["major"]) < _PLUGIN_SINCE:
        return True
    return bool(_printed(path, "buildx", "version"))


def _printed(*command: str) -> str:
    """What a command prints; nothing where it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return "" if done.returncode else done.stdout


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
