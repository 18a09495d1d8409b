"""Makes the user of this process the owner of files that a container wrote.

With most engines, root in a container is the machine's root. A local AWS that does not run as root can neither read
such files nor remove such folders. The engine can, so it is asked to change the owner.
"""

from __future__ import annotations

import logging
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryFile

import docker
from docker.errors import APIError
from docker.models.containers import Container as EngineContainer

from stepbridge_local.runtimes.docker.engine_errors import ENGINE_ERRORS, explain

__all__ = ["foreign", "hand_over", "rewrite_archive"]

_log = logging.getLogger(__name__)
_INSIDE = "/opt/ml"


def foreign(folder: Path, user_id: int) -> bool:
    """Whether anything in the folder, links included, belongs to another user."""
    return any(os.lstat(path).st_uid != user_id for path in _paths(folder))


def hand_over(client: docker.DockerClient, image_id: str, folder: Path, user_id: int, group_id: int) -> None:
    """Make the user the owner of everything in ``folder``. If the engine refuses, this is logged and nothing changes.

    Uses the image's ``chown``, as root. If it has none, the folder is copied out of the engine and back.
    """
    try:
        helper = client.containers.create(
            image_id,
            entrypoint=["chown", "-R", "-h", f"{user_id}:{group_id}", _INSIDE],
            command=[],
            user="0:0",
            network_mode="none",
            volumes={str(folder): {"bind": _INSIDE, "mode": "rw"}},
        )
        try:
            if not _ran(helper):
                rewrite_archive(helper, user_id, group_id)
        finally:
            helper.remove(force=True)
    except ENGINE_ERRORS as error:
        _log.warning("what a container wrote to %s stays its own: %s", folder, explain(error))


def rewrite_archive(container: EngineContainer, user_id: int, group_id: int) -> None:
    """Copy the container's /opt/ml out of the engine and back, with the user as its owner."""
    with TemporaryFile() as taken, TemporaryFile() as changed:
        chunks, _ = container.get_archive(f"{_INSIDE}/.")
        for chunk in chunks:
            taken.write(chunk)
        taken.seek(0)
        with tarfile.open(fileobj=taken) as source, tarfile.open(fileobj=changed, mode="w") as target:
            for member in source:
                member.uid, member.gid = user_id, group_id
                member.uname = member.gname = ""
                target.addfile(member, source.extractfile(member) if member.isreg() else None)
        changed.seek(0)
        container.put_archive(_INSIDE, changed)


def _ran(helper: EngineContainer) -> bool:
    try:
        helper.start()
    except APIError:
        return False  # there is no chown in the image
    return bool(helper.wait()["StatusCode"] == 0)


def _paths(folder: Path) -> Iterator[str]:
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            yield os.path.join(parent, name)  # noqa: PTH118 (a Path for each of many files takes longer)
