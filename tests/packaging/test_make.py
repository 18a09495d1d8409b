"""Which Python ``make`` takes, and what it says when there is none."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .environments import ROOT


def python_named(folder: Path, name: str, text: str) -> None:
    """Put an executable of this name and text into the folder."""
    (folder / name).write_text(text)
    (folder / name).chmod(0o755)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A folder to be PATH, with the programs that the scripts use and no Python."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sh", "sort", "awk", "ls", "head", "make", "cat", "rm", "test"):
        (folder / name).symlink_to(str(shutil.which(name)))
    return folder


def run(command: list[str], path: Path) -> subprocess.CompletedProcess[str]:
    variables = {"PATH": str(path), "HOME": str(path)}
    return subprocess.run(command, env=variables, capture_output=True, text=True, timeout=300, check=False)


def test_a_python_that_does_not_start_or_does_not_fit_is_passed_over(path: Path) -> None:
    """A shim of a version manager stands on PATH for a Python that is not there."""
    python_named(path, "python3.13", "#!/bin/sh\necho 'python3.13: command not found' >&2\nexit 127\n")
    python_named(path, "python3.12", "#!/bin/sh\nexec python-of-nobody\n")
    python_named(path, "python3", f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    found = run([str(ROOT / ".ci/pythons")], path).stdout.splitlines()
    assert found == [getattr(sys, "_base_executable", sys.executable)]


def test_without_a_python_make_says_how_to_get_one(path: Path, tmp_path: Path) -> None:
    """By system, and how to name one."""
    for name in ("Makefile", ".ci/pythons", "requirements.lock", "pyproject.toml", "local/pyproject.toml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    done = run(["make", "-C", str(tmp_path), ".venv/.ready"], path)
    assert done.returncode == 2
    assert "apt install python3 python3-venv" in done.stdout
    assert "make PYTHON=/path/to/python" in done.stdout
    assert not (tmp_path / ".venv").exists()
