"""The wheel of stepbridge-local, alone in a fresh virtual environment: what a stranger gets from ``pip install``."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import pytest
import uv

pytestmark = pytest.mark.xdist_group("wheel")

LOCAL = Path(__file__).parents[2]
EXAMPLE = LOCAL / "docs" / "examples"
MOST_PACKAGES = 55
MOST_BYTES = 180_000_000
ABSENT = {"apache-airflow", "stepbridge", "cfn-lint", "openapi-spec-validator", "sympy", "networkx", "pandas", "numpy"}


@dataclass
class Installed:
    """A virtual environment with the wheel in it, and a folder to work in, away from the source."""

    environment: Path
    folder: Path

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The ``stepbridge-local`` command."""
        return self._run(str(self.environment / "bin" / "stepbridge-local"), *arguments)

    def python(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return self._run(str(self.environment / "bin" / "python"), *arguments, **variables)

    def _run(self, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=self.folder, env=clean() | variables, capture_output=True, text=True, check=False, timeout=600
        )


def clean() -> dict[str, str]:
    """The environment without what leads to this project or to AWS."""
    left_out = ("PYTHON", "VIRTUAL_ENV", "AWS_")
    return {name: value for name, value in os.environ.items() if not name.startswith(left_out)}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the source as it is."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=LOCAL, check=True, capture_output=True, timeout=240)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The wheel and what it needs, no extras."""
    environment, folder = tmp_path_factory.mktemp("venv") / "venv", tmp_path_factory.mktemp("elsewhere")
    program = uv.find_uv_bin()
    subprocess.run([program, "venv", "--quiet", "--python", sys.executable, environment], check=True, timeout=240)
    command = [program, "pip", "install", "--quiet", "--python", environment / "bin" / "python", wheel]
    subprocess.run(command, check=True, env=clean(), timeout=240)
    return Installed(environment, folder)


@dataclass
class Running:
    """``stepbridge-local up`` from the wheel."""

    url: str
    options: tuple[str, str]
    process: subprocess.Popen[str]


@pytest.fixture(scope="module")
def running(installed: Installed) -> Iterator[Running]:
    """On a data folder below the folder it was started in."""
    command = [installed.environment / "bin" / "stepbridge-local", "up", "--port", "0"]
    process = subprocess.Popen(command, cwd=installed.folder, env=clean(), stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        words = process.stdout.readline().split()
        assert words[:2] == ["local", "AWS:"], words
        yield Running(words[2], ("--endpoint-url", words[2]), process)
    finally:
        process.kill()
        process.wait(timeout=120)


def test_the_wheel_has_the_package_its_data_and_its_metadata(wheel: Path) -> None:
    """Types, the scikit-learn Dockerfile, the pages' templates, the licence; no tests."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (metadata,) = [archive.read(name).decode() for name in names if name.endswith("/METADATA")]
    for name in ("py.typed", "scikit_learn/Dockerfile", "scikit_learn/requirements.txt", "__main__.py"):
        assert f"stepbridge_local/{name}" in names
    assert not any(name.startswith("tests") for name in names)
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert "Requires-Dist: moto==5.2.5" in metadata
    assert "License-Expression: Apache-2.0" in metadata
    assert "\n# stepbridge-local" in metadata  # the README


def test_few_and_light_packages_come_with_it(installed: Installed) -> None:
    """Neither Airflow nor stepbridge, nor what moto's extras bring."""
    command = [uv.find_uv_bin(), "pip", "list", "--format", "json", "--python", str(installed.environment)]
    listed = json.loads(subprocess.run(command, check=True, capture_output=True, timeout=240).stdout)
    names = {package["name"] for package in listed}
    size = sum(path.lstat().st_size for path in installed.environment.rglob("*") if path.is_file())
    print(f"{len(names)} packages, {size / 1e6:.0f} MB")
    assert names & ABSENT == set()
    assert len(names) <= MOST_PACKAGES
    assert size <= MOST_BYTES


def test_help_and_version(installed: Installed) -> None:
    """As a console script and as a module."""
    for run in (installed.run("--version"), installed.python("-m", "stepbridge_local", "--version")):
        assert (run.returncode, run.stdout) == (0, f"stepbridge-local {version('stepbridge-local')}\n")
    assert "exit codes" in installed.run("--help").stdout.lower()


def test_a_state_machine_runs_a_processing_job(installed: Installed, running: Running) -> None:
    """The example of the documentation, on the image that comes with the package; its log and the status tell of it."""
    shutil.copytree(EXAMPLE, installed.folder / "examples")
    keys = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local", "AWS_DEFAULT_REGION": "us-east-1"}
    program = "import os; os.chdir('examples'); exec(open('local_aws_alone.py').read())"
    run = installed.python("-c", program, AWS_ENDPOINT_URL=running.url, **keys)
    assert run.stdout.strip() == "SUCCEEDED ADA, GRACE", run.stderr
    status = installed.run("status", "--json")
    assert status.returncode == 0, status.stderr
    described = json.loads(status.stdout)
    assert described["jobs_by_status"] == {"Completed": 1}
    assert described["executions_by_status"] == {"SUCCEEDED": 1}
    first = "boto3.client('sagemaker').list_processing_jobs()['ProcessingJobSummaries'][0]['ProcessingJobName']"
    job = installed.python("-c", f"import boto3; print({first})", AWS_ENDPOINT_URL=running.url, **keys).stdout
    *stand_in, line = installed.run("logs", job.strip()).stdout.splitlines()
    assert line == "reading /opt/ml/processing/input/names.txt"
    assert all("this machine has no Python" in each or "differs:" in each for each in stand_in), stand_in


def test_faults_are_set_listed_and_cleared(installed: Installed, running: Running) -> None:
    """By the data folder of the working directory, and by the address."""
    assert installed.run("fault", "set", "error", "--operation", "s3:ListBuckets").returncode == 0
    (fault,) = json.loads(installed.run("fault", "list", "--json", *running.options).stdout)
    assert (fault["fault"], fault["operations"]) == ("error", ["s3:ListBuckets"])
    assert installed.run("fault", "clear").stdout == "no faults are set\n"


def test_it_stops_and_its_folder_is_emptied(installed: Installed, running: Running) -> None:
    """Last: SIGTERM ends it with 0, the status is 3, and ``reset`` leaves nothing."""
    assert installed.run("reset", "--yes").returncode == 1
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(timeout=600) == 0
    assert installed.run("status").returncode == 3
    assert installed.run("reset", "--yes").returncode == 0
    assert [path.name for path in (installed.folder / ".stepbridge" / "local-aws").iterdir()] == ["lock"]
