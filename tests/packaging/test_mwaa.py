"""The wheel of stepbridge under the constraints of Amazon MWAA: Airflow 3.3.1, Python 3.12, Amazon provider 9.34."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from .environments import ROOT, Environment, make_environment
from .hand_written import assert_a_hand_written_dag_succeeds

CONSTRAINTS = Path(__file__).with_name("data") / "mwaa-constraints-3.3.1.txt"

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]


@pytest.fixture
def mwaa(wheels: Path, tmp_path: Path) -> Environment:
    """A Python 3.12 environment in which pip was given MWAA's constraints, as MWAA does it."""
    (wheel,) = wheels.glob("stepbridge-*.whl")
    folder = tmp_path / "mwaa"
    make_environment(folder, _python_3_12(), ["apache-airflow", wheel], CONSTRAINTS)
    return Environment(folder, tmp_path)


def test_stepbridge_installs_imports_and_runs_on_mwaa(mwaa: Environment, local_aws: str) -> None:
    """With MWAA's own versions; every module is imported, the plugin loaded, and a hand-written DAG SUCCEEDED."""
    script = "from importlib.metadata import version; import sys; print(*map(version, sys.argv[1:]))"
    names = ("apache-airflow", "apache-airflow-providers-amazon", "apache-airflow-providers-standard")
    assert mwaa.run(["python", "-c", script, *names]).split() == ["3.3.1", "9.34.0", "1.17.0"]
    mwaa.import_every_module()
    assert "StopListener" in mwaa.run("airflow plugins --output json")
    mwaa.run("stepbridge init project")
    assert_a_hand_written_dag_succeeds(mwaa, local_aws, "mwaa")


def _python_3_12() -> str:
    """A Python 3.12 of this machine; the test is skipped where there is none."""
    found = subprocess.run([ROOT / ".ci/pythons", "--all"], capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )
    for python in filter(None, found):
        version = subprocess.run([python, "--version"], capture_output=True, text=True, check=True).stdout
        if version.startswith("Python 3.12."):
            return python
    pytest.skip("this machine has no Python 3.12, which MWAA has")
