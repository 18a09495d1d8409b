"""A project of its own with a real site around it: the local AWS and every component of Airflow."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from stepbridge.cli.local_site.site import RunningSite, SiteSettings, find_running_site

ROOT = Path(__file__).parents[2]
PROJECT_PARTS = ("asl", "containers", "dags", "infra", "plugins", "scripts")


def copy_project(folder: Path) -> Path:
    """The project's folders as they stand in this checkout, without environments and state."""
    for part in PROJECT_PARTS:
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def until(found: Callable[[], Any], what: str, seconds: float = 420) -> Any:
    """What ``found`` gives once that is true."""
    deadline = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < deadline, what
        time.sleep(0.3)
    return value


def processes_of(state: Path) -> list[str]:
    """The command lines of all processes that know ``state`` by their environment or arguments."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                command = (entry / "cmdline").read_bytes()
                environment = (entry / "environ").read_bytes()
            except OSError:
                continue
            if str(state).encode() in command + environment:
                found.append(entry.name + ": " + command.replace(b"\0", b" ").decode())
    return found


@pytest.fixture(scope="session")
def leftovers() -> Callable[[Path], list[str]]:
    return processes_of


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module")
def add_models() -> None:
    """Nothing; a test module replaces it to add models to ``project`` before its site comes up."""


@pytest.fixture(scope="module")
def site(project: Path, add_models: None) -> Iterator[RunningSite]:  # noqa: ARG001
    """The site of ``project``, up for one module."""
    with site_of(project) as running:
        yield running


@contextmanager
def site_of(project: Path) -> Iterator[RunningSite]:
    """The site of ``project``; nothing of it is left afterwards."""
    settings = SiteSettings(project, project / ".stepbridge", airflow_port=0, aws_port=0)
    log_file = project / "keep-site.log"
    command = [sys.executable, "-m", "stepbridge.cli.main", "keep-site", "--port", "0", "--aws-port", "0"]
    with log_file.open("wb") as log:
        keeper = subprocess.Popen(command, cwd=project, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        deadline = time.monotonic() + 240
        while (found := find_running_site(settings)) is None:
            assert keeper.poll() is None, log_file.read_text()
            assert time.monotonic() < deadline, log_file.read_text()
            time.sleep(0.1)
        yield found
    finally:
        keeper.send_signal(signal.SIGTERM)
        keeper.wait(240)
    assert processes_of(settings.state) == []
