"""An image of the process runtime: its configuration and its Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["ENVIRONMENT_PATH", "ImageConfig", "PythonInstallation", "command_of", "python_image_config"]

ENVIRONMENT_PATH: Final = "/opt/venv"  # the place of an image's virtual environment in every container
_OTHER_PYTHON_LABEL: Final = "stepbridge.local.other-python"


@dataclass(frozen=True)
class PythonInstallation:
    """A Python of this machine. ``version`` is like ``3.11.7``; ``prefix`` holds it all, ``executable`` included."""

    version: str
    prefix: str
    executable: str

    @property
    def minor_version(self) -> str:
        return ".".join(self.version.split(".")[:2])

    def is_a(self, wanted: str) -> bool:
        """Whether it matches ``wanted``: empty, ``3``, ``3.11`` or ``3.11.7``. The patch version may differ."""
        minor = ".".join(wanted.split(".")[:2])
        return not wanted or f"{self.version}.".startswith(f"{minor}.")


@dataclass(frozen=True)
class ImageConfig:
    """The part of an OCI image configuration that decides how a container runs.

    https://github.com/opencontainers/image-spec/blob/main/config.md
    """

    env: tuple[tuple[str, str], ...] = ()
    entrypoint: tuple[str, ...] | None = None
    cmd: tuple[str, ...] | None = None
    working_dir: str = "/"
    user: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    exposed_ports: tuple[str, ...] = ()

    @property
    def other_python(self) -> str:
        """One line that says why the image runs on another Python than FROM names; empty if it does not."""
        return dict(self.labels).get(_OTHER_PYTHON_LABEL, "")

    def to_oci(self) -> dict[str, Any]:
        """The configuration as the OCI image specification and `docker inspect` write it."""
        return {
            "Env": [f"{name}={value}" for name, value in self.env],
            "Entrypoint": None if self.entrypoint is None else list(self.entrypoint),
            "Cmd": None if self.cmd is None else list(self.cmd),
            "WorkingDir": self.working_dir,
            "User": self.user,
            "Labels": dict(self.labels),
            "ExposedPorts": {port: {} for port in self.exposed_ports},
        }

    @classmethod
    def from_oci(cls, config: Mapping[str, Any]) -> ImageConfig:
        """The reverse of ``to_oci``."""

        def items(key: str) -> tuple[str, ...] | None:
            return None if config.get(key) is None else tuple(config[key])

        pairs = (entry.partition("=") for entry in config.get("Env") or ())
        return cls(
            env=tuple((name, value) for name, _, value in pairs),
            entrypoint=items("Entrypoint"),
            cmd=items("Cmd"),
            working_dir=config.get("WorkingDir") or "/",
            user=config.get("User") or "",
            labels=tuple((config.get("Labels") or {}).items()),
            exposed_ports=tuple(config.get("ExposedPorts") or ()),
        )


def python_image_config(version: str, other_python: str = "") -> ImageConfig:
    """The configuration of the official image ``python:<version>``, with the virtual environment first on PATH.

    ``other_python`` is kept as a label, so that images built on this one have it too: ``ImageConfig.other_python``.
    """
    search_path = f"{ENVIRONMENT_PATH}/bin:/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
    env = (("PATH", search_path), ("LANG", "C.UTF-8"), ("PYTHON_VERSION", version))
    labels = ((_OTHER_PYTHON_LABEL, other_python),) if other_python else ()
    return ImageConfig(env=env, cmd=("python3",), labels=labels)


def command_of(
    config: ImageConfig, entrypoint: Sequence[str] | None, arguments: Sequence[str] | None
) -> tuple[str, ...]:
    """The command of ``docker run [--entrypoint E] IMAGE [ARGS]``; empty when neither it nor the image names one.

    An entrypoint replaces the image's ENTRYPOINT and CMD. Arguments without an entrypoint replace CMD.
    """
    if entrypoint is not None:
        return (*entrypoint, *(arguments or ()))
    rest = config.cmd if arguments is None else arguments
    return (*(config.entrypoint or ()), *(rest or ()))
