"""A full disk below what the command writes: one line that names the place, nothing half, and all goes on later."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.small_disk import MIB, SmallDisk, small_disk

from stepbridge.atomic_write import write_atomically
from stepbridge.cli.exit_codes import ExitCode
from stepbridge.project import write_project

ROOT = Path(__file__).parents[3]
FULL = "No space left on device; make room on its disk, then run it again\n"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk", 48 * MIB) as disk:
        yield disk


def test_init_writes_a_project_or_nothing(disk: SmallDisk) -> None:
    """With no room, and with room for some of its files only; afterwards the same command works."""
    for but_bytes in (0, 12 * 1024):
        disk.fill(but_bytes)
        done = disk.run("init", f"{disk.folder}/project", project=ROOT)
        assert (done.returncode, done.stdout) == (ExitCode.ERROR, "")
        assert done.stderr.startswith(f"{disk.folder}/project/")
        assert done.stderr.endswith(FULL)
        assert disk.files() == []
        disk.free()
    assert disk.run("init", f"{disk.folder}/project", project=ROOT).returncode == 0
    assert "project/dags/models.py" in disk.files()


def test_up_and_demo_start_nothing(disk: SmallDisk, tmp_path: Path) -> None:
    """They name the folder, how much is free there and what is needed; nothing tells anybody to delete data."""
    write_project(tmp_path / "project")
    for name in ("flight_delay", "sound"):
        (tmp_path / f"project/dags/models/{name}.yaml").write_text("stages: [preprocessing]\n")
    (disk.seen / "state").mkdir()
    disk.fill(5 * MIB)
    for command in ("up", "demo"):
        done = disk.run(command, "--state", f"{disk.folder}/state", "--port", "0", project=tmp_path / "project")
        assert done.returncode == ExitCode.ERROR
        expected = "5.0 MB are free on its disk; expected at least 32 MB; make room on that disk, then run it again; "
        assert done.stderr == f"{disk.folder}/state: {expected}what is stored there is sound\n"
        assert disk.files() == []


def test_a_file_is_as_it_was_or_as_it_should_be(tmp_path: Path) -> None:
    """Nothing is left beside it; its mode is the one asked for; a link stays a link; a device stays a device."""
    file, link = tmp_path / "kept.json", tmp_path / "link"
    write_atomically(file, "first")
    link.symlink_to(file.name)
    write_atomically(link, b"second", mode=0o600)
    assert (file.read_text(), link.is_symlink(), file.stat().st_mode & 0o777) == ("second", True, 0o600)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3, hard))  # a disk on which the third byte is the last
    try:
        with pytest.raises(OSError, match=f"File too large: '{file}'"):
            write_atomically(file, "third")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (file.read_text(), sorted(path.name for path in tmp_path.iterdir())) == ("second", ["kept.json", "link"])
    write_atomically(Path("/dev/null"), "x")
    assert Path("/dev/null").is_char_device()
    with pytest.raises(OSError, match="/dev/full"):
        write_atomically(Path("/dev/full"), "x")


def test_the_local_aws_does_not_start(disk: SmallDisk) -> None:
    """And leaves nothing behind."""
    disk.fill()
    done = disk.run("local", "up", "--port", "0", "--data-dir", f"{disk.folder}/data", project=ROOT)
    assert done.returncode == ExitCode.ERROR
    expected = "0.0 MB are free on its disk; expected at least 1 MB; make room on that disk, then run it again; "
    assert done.stderr == f"{disk.folder}/data: {expected}what is stored there is sound\n"
    assert disk.files() == []


def test_a_pipe_is_written_directly() -> None:
    """There is no folder for a file beside it."""
    program = "import pathlib, stepbridge.atomic_write as a; a.write_atomically(pathlib.Path('/dev/stdout'), 'all')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("all", "")


@pytest.mark.long
def test_a_disk_that_fills_up_during_the_start_gives_no_empty_database(disk: SmallDisk, tmp_path: Path) -> None:
    """There is room to begin, and not for PostgreSQL: its reason is shown, and Airflow does not fall back to SQLite."""
    write_project(tmp_path / "project")
    disk.fill(36 * MIB)
    options = ("--state", f"{disk.folder}/state", "--port", "0", "--aws-port", "0")
    done = disk.run("up", *options, project=tmp_path / "project")
    assert done.returncode == ExitCode.ERROR, done.stdout
    assert "No space left on device" in done.stdout + done.stderr
    assert "SQLite" not in done.stdout + done.stderr
    assert not [name for name in disk.files() if "airflow.db" in name or name.endswith("PG_VERSION")]
