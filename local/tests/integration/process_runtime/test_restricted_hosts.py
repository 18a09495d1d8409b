"""Containers where overlay mounts or namespaces cannot be had, and images that lead elsewhere."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from stepbridge_local.protocols import BuiltImage, ContainerExit, ContainerSpec
from stepbridge_local.runtimes.process import ProcessRuntime
from stepbridge_local.runtimes.process.containers import RunningContainers
from stepbridge_local.runtimes.process.sandbox import host_layout, launch_spec

from .conftest import Run, write_context


def test_without_overlay_mounts_the_image_is_copied(runtime: ProcessRuntime, image: BuiltImage, tmp_path: Path) -> None:
    """As on kernels before 5.11 without root: all but the packages can still be written to."""
    stored = runtime._store.image(image.image_id)
    assert stored is not None
    layer = runtime._store.layer(stored.layer_key)
    assert layer is not None
    containers = RunningContainers(tmp_path / "work")
    code = (
        "open('program.py', 'a').write('#'); import colorama; open('/usr/src/app/program.py'); print(colorama.__file__)"
    )
    lines: list[str] = []
    spec = launch_spec(
        host_layout(),
        job_folder=containers.new_folder("job"),
        rootfs=stored.rootfs,
        environment_layer=layer.tree,
        python_prefix=stored.python.prefix,
        command=["/usr/local/bin/python", "-c", code],
        environment=dict(stored.config.env),
        working_folder="/opt/program",
        name="job",
        overlay=False,
    )
    end = containers.launch(spec, lines.append).wait(120)
    assert (end, lines[0].startswith("/opt/venv/")) == (ContainerExit(0), True), lines
    containers.close()


def test_an_image_cannot_lead_the_set_up_out_of_its_root(runtime: ProcessRuntime, tmp_path: Path) -> None:
    """A link in the image where the set-up writes is refused, and nothing of the machine is written to."""
    victim = tmp_path / "victim"
    victim.mkdir()
    context = write_context(tmp_path / "c", {"Dockerfile": "FROM python\nCOPY tree /\nCMD true"})
    (context / "tree").mkdir()
    (context / "tree/etc").symlink_to(victim)
    image = runtime.build(context, "Dockerfile", {}, print)
    end = Run(runtime.start(ContainerSpec("job", image.image_id, tmp_path), print)).end()
    assert "use /etc, which is a symbolic link in the image" in (end.error or "")
    assert list(victim.iterdir()) == []


def test_where_namespaces_are_forbidden_the_reason_comes_at_once(
    image: BuiltImage, runtime: ProcessRuntime, tmp_path: Path
) -> None:
    """With the setting that forbids them, and what to do."""
    program = f"""
from pathlib import Path
from stepbridge_local.protocols import ContainerSpec
from stepbridge_local.runtimes.process import ProcessRuntime
runtime = ProcessRuntime(Path({str(runtime._store.folder)!r}), Path({str(tmp_path / "work")!r}))
print(runtime.start(ContainerSpec("job", {image.image_id!r}, Path({str(tmp_path)!r})), print).wait(20))
runtime.close()
"""
    # A user namespace whose own limit of user namespaces is 0, and in it a process without capabilities.
    forbidding = "echo 0 > /proc/sys/user/max_user_namespaces && exec setpriv --bounding-set=-all --inh-caps=-all"
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "sh", "-c", f'{forbidding} "$@"', "sh", sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    )
    assert "ContainerExit(exit_code=None" in done.stdout, done.stderr
    assert "/proc/sys/user/max_user_namespaces is 0" in done.stdout
    assert "sysctl user.max_user_namespaces=" in done.stdout
    assert "--runtime docker" in done.stdout
