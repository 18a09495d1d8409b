"""The OCI registry behind the local ECR when images are Docker images: the distribution project's own program."""

from __future__ import annotations

import ctypes
import hashlib
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from stepbridge_local.errors import ConfigurationError
from stepbridge_local.runtimes.docker.registry_guard import RegistryGuard

__all__ = ["OciRegistry"]

_PROGRAMS = (
    "docker-registry",
    "registry",
)  # Debian's name and upstream's: https://distribution.github.io/distribution/
_START_SECONDS = 15.0
_MANIFEST_TYPES = (
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.index.v1+json",
)
_PR_SET_PDEATHSIG = 1
_LARGEST_MANIFEST_BYTES = 4 * 1024 * 1024  # the registry's bound
_CONFIGURATION = """\
version: 0.1
log: {{level: warn}}
storage:
  filesystem: {{rootdirectory: "{folder}"}}
  delete: {{enabled: true}}
http:
  net: unix
  addr: {socket}
"""


class OciRegistry:
    """A registry on a loopback port, which engines trust without TLS. Keeps its blobs in ``folder``.

    It uses the same port as before if that is free, because the engine's names of images contain it. Web pages do not
    reach it: see ``registry_guard``.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: RegistryGuard | None = None
        self._sockets: Path | None = None  # a private folder with a short path, as Unix sockets need it
        self.address = ""  # "127.0.0.1:<port>" once started

    def start(self) -> None:
        """Start it and wait until it answers. Raises ConfigurationError if the program is not installed."""
        program = next(filter(None, map(shutil.which, _PROGRAMS)), None)
        if program is None:
            raise ConfigurationError(
                "docker runtime",
                "no OCI registry on PATH",
                f"one of {', '.join(_PROGRAMS)}",
                "install Debian's package docker-registry, or use --runtime process",
            )
        self._folder.mkdir(parents=True, exist_ok=True)
        self.remove_unfinished()
        self._sockets = Path(tempfile.mkdtemp(prefix="stepbridge-registry-"))
        own_socket = self._sockets / "registry.sock"
        self._guard = self._guarded(own_socket)
        self.address = f"127.0.0.1:{self._guard.port}"
        configuration = self._folder / "registry.yml"
        kept = self._folder / "port.new"
        kept.write_text(str(self._guard.port))
        kept.replace(self._folder / "port")
        configuration.write_text(_CONFIGURATION.format(folder=self._folder.resolve(), socket=own_socket))
        log_file = self._folder / "registry.log"
        with log_file.open("wb") as log:
            self._process = subprocess.Popen(
                [program, "serve", str(configuration)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={},
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise ConfigurationError(f"{program}", "it did not start", remedy=f"see {log_file}")
            time.sleep(0.02)

    def manifest(self, name: str, reference: str) -> bytes:
        """The manifest of ``name`` by tag or digest, byte for byte. Raises KeyError when there is none."""
        request = urllib.request.Request(
            f"http://{self.address}/v2/{name}/manifests/{reference}", headers={"Accept": ", ".join(_MANIFEST_TYPES)}
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                content: bytes = answer.read()
        except urllib.error.HTTPError as error:
            if error.code == 404:
                raise KeyError(f"{name}:{reference}") from None
            raise
        return content

    def remove_unfinished(self) -> None:
        """Remove what could not be written to its end, because the disk was full.

        The registry takes it for content: a manifest that was cut off could never be pushed again. Layers are moved to
        their place once they are whole.
        """
        root = self._folder / "docker" / "registry" / "v2"
        for link in root.glob("repositories/**/link"):
            if link.stat().st_size == 0:
                link.unlink(missing_ok=True)
        for blob in root.glob("blobs/sha256/*/*/data"):
            is_small = blob.stat().st_size <= _LARGEST_MANIFEST_BYTES
            if is_small and hashlib.sha256(blob.read_bytes()).hexdigest() != blob.parent.name:
                blob.unlink(missing_ok=True)

    def stop(self) -> None:
        """End it. Idempotent."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None
        if self._guard is not None:
            self._guard.stop()
            self._guard = None
        if self._sockets is not None:
            shutil.rmtree(self._sockets, ignore_errors=True)

    def _guarded(self, own_socket: Path) -> RegistryGuard:
        file = self._folder / "port"
        text = file.read_text() if file.is_file() else ""
        try:
            return RegistryGuard(int(text) if text.isdecimal() else 0, own_socket)
        except (OSError, OverflowError):
            return RegistryGuard(0, own_socket)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{self.address}/v2/", timeout=2):
                return True
        except OSError:
            return False


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
