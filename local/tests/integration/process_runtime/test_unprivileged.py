"""All of the process runtime again, by a user who is not root."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

NOBODY = 65534
HERE = Path(__file__).parent
PROJECT = HERE.parents[2]
MODULE_FOLDERS = [path for path in sys.path if path and Path(path).is_dir()]
# The last line because setpriv itself can start what the user it becomes cannot.
PROBE = """
import os, subprocess, pytest, hypothesis, pathspec, uv
from stepbridge_local.runtimes.process.python_installation import own_python
assert os.geteuid() != 0
os.stat(uv.find_uv_bin())
subprocess.run([own_python().executable, "-c", "import json"], check=True)
"""


def as_nobody(python: str, *arguments: str) -> list[str]:
    identity = [f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--bounding-set=-all", "--inh-caps=-all"]
    return ["setpriv", *identity, python, *arguments]


def in_a_user_namespace(python: str, *arguments: str) -> list[str]:
    """Where no Python is readable for others: still without any capability, and not user 0 to itself."""
    return ["unshare", "--user", f"--map-user={NOBODY}", f"--map-group={NOBODY}", python, *arguments]


def environment(home: Path) -> dict[str, str]:
    passed = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "XDG", "UV_CACHE"))}
    return {**passed, "HOME": str(home), "PYTHONPATH": os.pathsep.join(MODULE_FOLDERS), "PYTHONDONTWRITEBYTECODE": "1"}


def unprivileged_python(home: Path) -> list[str]:
    """How to run a Python of this version, with all that the tests import, without privileges."""
    minor = f"{sys.version_info.major}.{sys.version_info.minor}"
    tried = []
    for wrap in (as_nobody, in_a_user_namespace):
        for python in (sys.executable, f"/usr/bin/python{minor}", f"/usr/local/bin/python{minor}"):
            if not Path(python).exists():
                continue
            command = wrap(python, "-c", PROBE)
            done = subprocess.run(command, env=environment(home), cwd=home, capture_output=True, text=True, check=False)
            if done.returncode == 0:
                return wrap(python)
            tried.append(f"{' '.join(command)}: {done.stderr[-300:]}")
    raise AssertionError("no way to run Python without privileges:\n" + "\n".join(tried))


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody may write to; pytest's own lie below one that only its user may enter."""
    folder = Path(tempfile.mkdtemp(prefix="stepbridge-nobody-"))
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="this user is not root: the other tests here are what this one repeats")
@pytest.mark.long
@pytest.mark.timeout(900)
def test_everything_holds_without_privileges(open_folder: Path) -> None:
    """Builds, isolation, signals, ends: the same tests in a process that has no capability at all."""
    home = open_folder
    command = unprivileged_python(home)
    options = ["-m", "pytest", "-q", "-p", "no:cacheprovider", f"--basetemp={home / 'pytest'}", f"--rootdir={PROJECT}"]
    names = ("test_images.py", "test_container_surroundings.py", "test_containers.py", "test_restricted_hosts.py")
    files = [str(HERE / name) for name in names]
    done = subprocess.run(
        [*command, *options, "-c", str(PROJECT / "pyproject.toml"), *files],
        env=environment(home),
        cwd=home,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-20000:]
    assert " passed" in done.stdout.splitlines()[-1]
