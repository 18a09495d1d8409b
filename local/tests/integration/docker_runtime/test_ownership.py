"""What a root container wrote is given to the user of the local AWS, who may be nobody in particular."""

from __future__ import annotations

import os
from pathlib import Path

import docker
import pytest

from stepbridge_local.protocols import ContainerSpec
from stepbridge_local.runtimes.docker import DockerRuntime
from stepbridge_local.runtimes.docker.ownership import foreign, hand_over

BASE_IMAGE = "stepbridge-test-base"
NOBODY = 65534
WRITES = """
import os
os.umask(0o077)
os.makedirs("/opt/ml/processing/output/closed/deep")
open("/opt/ml/processing/output/closed/deep/secret", "w").write("1")
os.symlink("/etc/passwd", "/opt/ml/processing/output/link")
os.mkfifo("/opt/ml/processing/output/fifo")
os.chmod("/opt/ml/processing/output", 0o700)
"""


def image(runtime: DockerRuntime, folder: Path, chown: bool) -> str:
    folder.mkdir()
    rest = "" if chown else "RUN rm -f /bin/chown /usr/bin/chown\n"
    own = f"LABEL test={folder.parent.name}\n"  # an image of its own: other tests run containers of the base image
    (folder / "Dockerfile").write_text(f"FROM {BASE_IMAGE}\n{own}{rest}")
    return runtime.build(folder, "Dockerfile", {}, print).image_id


@pytest.mark.parametrize("chown", [True, False], ids=["by chown", "through an archive"])
def test_everything_belongs_to_the_user_afterwards(
    runtime: DockerRuntime, engine: docker.DockerClient, tmp_path: Path, chown: bool
) -> None:
    """Files, folders and links themselves, not what links lead to; with and without a chown in the image."""
    image_id = image(runtime, tmp_path / "context", chown)
    ml = tmp_path / "ml"
    (ml / "processing").mkdir(parents=True)
    spec = ContainerSpec("owner", image_id, ml, entrypoint=["python3", "-c", WRITES])
    ended = runtime.start(spec, print).wait(240)
    assert ended is not None
    assert ended.exit_code == 0
    assert foreign(ml, NOBODY)
    hand_over(engine, image_id, ml, NOBODY, NOBODY)
    assert not foreign(ml, NOBODY)
    output = ml / "processing" / "output"
    assert (output / "closed" / "deep" / "secret").read_text() == "1"
    assert (output / "link").readlink() == Path("/etc/passwd")
    assert os.stat("/etc/passwd").st_uid == 0  # noqa: PTH116 (what the link must not lead to)
    assert not engine.containers.list(all=True, filters={"ancestor": image_id})
