"""What a container sees: its root, which consists of the image and of read-only parts of this machine.

The machine's programs and libraries (/usr, /bin, /lib ...) and the image's Python replace those of a base image.
Nothing else of the machine is there. ``launcher`` carries out what is decided here.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

__all__ = ["Bind", "HostLayout", "LaunchSpec", "host_layout", "launch_spec"]

SYSTEM_FOLDERS: Final = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix")
SHARED_PATHS: Final = (
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/fonts",
    "/etc/ld.so.cache",
    "/etc/pki",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/sys/devices/system/cpu",  # numerical libraries count cores there
)
FOLDERS: Final[Mapping[str, int]] = {"/tmp": 0o1777, "/var/tmp": 0o1777, "/root": 0o700, "/run": 0o755, "/home": 0o755}
ACCOUNTS: Final[Mapping[str, str]] = {
    "/etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
    "/etc/group": "root:x:0:\nnogroup:x:65534:\n",
    "/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}
HOSTNAME_LENGTH: Final = 63
LEAST_MAX_PROCESSES: Final = 4096  # a fork bomb exceeds it at once; numerical libraries need many per core
MAX_PROCESSES_PER_CORE: Final = 128


@dataclass(frozen=True)
class Bind:
    """``source`` on this machine, which the container sees at ``target``."""

    source: str
    target: str
    read_only: bool = True


@dataclass(frozen=True)
class HostLayout:
    """This machine's system folders: real ones, and links to others (``/bin -> usr/bin``)."""

    folders: tuple[str, ...]
    links: Mapping[str, str]
    shared: tuple[str, ...]
    resolv_conf: str


@dataclass(frozen=True)
class LaunchSpec:
    """Everything that ``launcher`` needs to know about a container."""

    job_folder: str  # for files that the container writes outside its binds; removed with the container
    rootfs: str
    environment_layer: str | None  # a tree that holds opt/venv
    command: Sequence[str]
    environment: Mapping[str, str]
    working_folder: str
    hostname: str
    system_folders: Sequence[str]
    links: Mapping[str, str]
    files: Mapping[str, str]
    binds: Sequence[Bind]
    folders: Mapping[str, int] = field(default_factory=lambda: dict(FOLDERS))
    network_isolated: bool = False
    overlay: bool = True  # False: behave like a system without overlay mounts
    max_processes: int = LEAST_MAX_PROCESSES  # including threads; if there are more, everything in it is killed

    def to_plain(self) -> dict[str, Any]:
        """The specification as ``launcher`` reads it, without the two members that belong to the process."""
        return {
            **{name: value for name, value in vars(self).items() if name != "binds"},
            "binds": [(bind.source, bind.target, bind.read_only) for bind in self.binds],
        }


def host_layout() -> HostLayout:
    """How this machine is laid out."""
    present = [folder for folder in SYSTEM_FOLDERS if os.path.lexists(folder)]
    links = {folder: os.readlink(folder) for folder in present if Path(folder).is_symlink()}  # noqa: PTH115
    resolv_conf = Path("/etc/resolv.conf")
    return HostLayout(
        tuple(folder for folder in present if folder not in links),
        links,
        tuple(path for path in SHARED_PATHS if Path(path).exists()),
        resolv_conf.read_text(errors="replace") if resolv_conf.is_file() else "",
    )


def launch_spec(
    layout: HostLayout,
    *,
    job_folder: Path,
    rootfs: Path,
    environment_layer: Path | None,
    python_prefix: str,
    command: Sequence[str],
    environment: Mapping[str, str],
    working_folder: str,
    name: str,
    binds: Sequence[Bind] = (),
    links: Mapping[str, str] | None = None,
    hosts: Mapping[str, str] | None = None,
    network_isolated: bool = False,
    overlay: bool = True,
) -> LaunchSpec:
    """The specification of a container named ``name``. ``binds``, ``links`` and ``hosts`` come on top of what each has.

    ``hosts`` are names and their addresses.
    """
    hostname = name[:HOSTNAME_LENGTH].strip("-") or "container"
    files = {
        "/etc/hosts": _hosts_file(hostname, hosts or {}),
        "/etc/hostname": f"{hostname}\n",
        "/etc/resolv.conf": layout.resolv_conf,
    }
    files |= {path: text for path, text in ACCOUNTS.items() if not os.path.lexists(f"{rootfs}{path}")}
    shared = [Bind(path, path) for path in layout.shared if not os.path.lexists(f"{rootfs}{path}")]
    if not any(Path(python_prefix).is_relative_to(folder) for folder in layout.folders):
        shared.append(Bind(python_prefix, python_prefix))
    return LaunchSpec(
        job_folder=str(job_folder),
        rootfs=str(rootfs),
        environment_layer=None if environment_layer is None else str(environment_layer),
        command=tuple(command),
        environment={"HOME": "/root", "HOSTNAME": hostname, **environment},
        working_folder=working_folder,
        hostname=hostname,
        system_folders=layout.folders,
        # The clock of a container is UTC, whatever the machine's is.
        links={**layout.links, "/etc/localtime": "/usr/share/zoneinfo/Etc/UTC", **(links or {})},
        files=files,
        binds=(*shared, *binds),
        network_isolated=network_isolated,
        overlay=overlay,
        max_processes=max(LEAST_MAX_PROCESSES, MAX_PROCESSES_PER_CORE * (os.cpu_count() or 1)),
    )


def _hosts_file(hostname: str, hosts: Mapping[str, str]) -> str:
    own = "" if hostname in hosts else f" {hostname}"
    lines = [f"127.0.0.1 localhost{own}", "::1 localhost", *(f"{address} {name}" for name, address in hosts.items())]
    return "\n".join(lines) + "\n"
