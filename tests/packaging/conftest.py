"""Both wheels, an environment with each, and a local AWS from the wheel of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .environments import Environment, build_wheels, made_once, make_environment, outside_variables, pins_of_the_lock

SCIKIT_LEARN = 'FROM python:3-slim\nENTRYPOINT ["python3"]\n'


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """One folder for all processes of this test session."""
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "packaging"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def wheels(shared: Path) -> Path:
    """A folder with the wheels and source distributions of both."""
    return made_once(shared / "wheels", build_wheels)


@pytest.fixture(scope="session")
def pins(shared: Path) -> Path:
    return pins_of_the_lock(shared / "pins.txt")


@pytest.fixture(scope="session")
def stepbridge_folder(shared: Path, wheels: Path, pins: Path) -> Path:
    """A virtual environment with the wheel of stepbridge and what it requires."""
    (wheel,) = wheels.glob("stepbridge-*.whl")
    return made_once(shared / "stepbridge", lambda venv: make_environment(venv, sys.executable, [wheel], pins))


@pytest.fixture(scope="session")
def local_folder(shared: Path, wheels: Path, pins: Path) -> Path:
    """A virtual environment with the wheel of stepbridge-local and what it requires."""
    (wheel,) = wheels.glob("stepbridge_local-*.whl")
    return made_once(shared / "local", lambda venv: make_environment(venv, sys.executable, [wheel], pins))


@pytest.fixture
def installed(stepbridge_folder: Path, tmp_path: Path) -> Environment:
    """Airflow with stepbridge from its wheel alone."""
    return Environment(stepbridge_folder, tmp_path)


@pytest.fixture(scope="session")
def local_aws(local_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a local AWS that runs from the wheel of stepbridge-local alone."""
    folder = tmp_path_factory.mktemp("local-aws")
    (folder / "scikit_learn").mkdir()
    (folder / "scikit_learn/Dockerfile").write_text(SCIKIT_LEARN)
    log = folder / "log"
    command = [local_folder / "bin/stepbridge-local", "up", "--port", "0", "--data-dir", "data"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*map(str, command), "--scikit-learn", "scikit_learn"],
            cwd=folder,
            env=outside_variables(),
            stdout=output,
            stderr=output,
        )
    try:
        announced = folder / "data/endpoint.json"
        deadline = time.monotonic() + 240
        while not announced.exists():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        yield json.loads(announced.read_text())["url"]
    finally:
        process.terminate()
        process.wait(120)
