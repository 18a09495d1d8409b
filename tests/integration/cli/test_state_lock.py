"""A state folder has one site: whoever comes second is told which process has it, and `down` ends that one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stepbridge.cli import up
from stepbridge.cli.local_site.site import SiteError, SiteSettings, lock_state, state_owner
from stepbridge_local.processes import background, is_running

# Locks the state folder and starts something in a tree, as `up` and `demo` do before they record a site.
STARTING = """
import os, pathlib, signal, sys, time
from stepbridge_local.processes import ProcessTree
from stepbridge.cli.local_site.site import SiteSettings, lock_state
if "stubborn" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
project = pathlib.Path.cwd()
with lock_state(SiteSettings.of(project)), ProcessTree(project / "logs", guarded=True) as tree:
    sleeper = tree.start("sleeper", [sys.executable, "-c", "import time; time.sleep(600)"], dict(os.environ), project)
    print(sleeper.process.pid, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags/models.py").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(params=["polite", "stubborn"])
def starting(project: Path, request: pytest.FixtureRequest) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A process that starts a site, and a process of that site."""
    command = [sys.executable, "-c", STARTING, request.param]
    process = subprocess.Popen(command, cwd=project, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    yield process, int(process.stdout.readline())
    process.kill()
    process.wait()


def test_down_ends_a_site_that_is_starting(
    project: Path, starting: tuple[subprocess.Popen[str], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one that does not end by SIGTERM; there is nothing to end afterwards."""
    monkeypatch.setattr(background, "_STOP_SECONDS", 10.0)
    process, sleeper = starting
    assert state_owner(SiteSettings.of(project)) == process.pid
    with pytest.raises(SiteError, match=f"process {process.pid} starts or keeps a site in this folder"):
        lock_state(SiteSettings.of(project))
    up.down()
    process.wait(10)
    assert not is_running(sleeper)
    assert state_owner(SiteSettings.of(project)) is None


def test_down_says_that_nothing_runs(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither before a site was started nor after it ended."""
    up.down()
    lock_state(SiteSettings.of(project)).close()
    up.down()
    assert capsys.readouterr().out.splitlines() == ["Nothing is running."] * 2
    assert (project / ".stepbridge/site.lock").read_text().strip() == str(os.getpid())


def test_a_second_start_leaves_the_log_of_the_first_alone(
    project: Path, starting: tuple[subprocess.Popen[str], int]
) -> None:
    """It is refused before it opens the file."""
    log = project / ".stepbridge/logs/up.log"
    log.parent.mkdir()
    log.write_text("of the first\n")
    with pytest.raises(SiteError, match=rf"process {starting[0].pid} .*run `stepbridge down`"):
        up._start_in_background(SiteSettings.of(project))
    assert log.read_text() == "of the first\n"
