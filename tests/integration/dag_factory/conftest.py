"""A real Airflow, with its database and its DAG processor, on a copy of the project that has broken cards too."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).resolve().parents[3]
URIS = "input_uri: s3://bucket/in/\noutput_uri: s3://bucket/out/\n"
BROKEN_CARDS = {
    "unknown_key.yaml": "input_uri: s3://bucket/in/\noutput_url: s3://bucket/out/\n",
    "never.yaml": URIS + 'schedule: "0 4 31 2 *"\nstages: [inference]\ncontainer: containers/flight_delay\n',
    "flight_delay.yml": URIS,
}

Airflow = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def project() -> Path:
    """The project's root."""
    return PROJECT


@pytest.fixture(scope="module")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Airflow:
    """The ``airflow`` command in a home of its own, after its DAG processor has once parsed all files."""
    root = tmp_path_factory.mktemp("project")
    for folder in ("dags", "containers", "scripts"):
        shutil.copytree(PROJECT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name, text in BROKEN_CARDS.items():
        (root / "dags/models" / name).write_text(text)
    environment = os.environ | {
        "AIRFLOW_HOME": str(tmp_path_factory.mktemp("airflow")),
        "AIRFLOW__CORE__DAGS_FOLDER": str(root / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
    }

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(Path(sys.executable).with_name("airflow")), *arguments]
        return subprocess.run(
            command, env=environment, cwd=root, capture_output=True, text=True, timeout=240, check=False
        )

    for command in (["db", "migrate"], ["dag-processor", "--num-runs", "1"]):
        done = run(*command)
        assert done.returncode == 0, done.stderr
    return run


@pytest.fixture(scope="module")
def listed(airflow: Airflow) -> Callable[..., list[dict[str, Any]]]:
    """What an ``airflow ... list`` command prints, as rows."""

    def run(*arguments: str) -> list[dict[str, Any]]:
        done = airflow(*arguments, "-o", "json")
        rows: list[dict[str, Any]] = json.loads(done.stdout[done.stdout.index("[{") :])
        return rows

    return run
