"""``stepbridge[local]`` from the two wheels: a new project comes up with Airflow and the local AWS."""

from __future__ import annotations

import re
import sys
import time
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from .environments import Environment, made_once, make_environment
from .hand_written import write_model

CARD = """
input_uri: "s3://{{ var.json.stepbridge.bucket }}/in/{{ ds }}/"
output_uri: "s3://{{ var.json.stepbridge.bucket }}/out/{{ ds }}/"
"""

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]


@pytest.fixture
def both(shared: Path, wheels: Path, pins: Path, tmp_path: Path) -> Environment:
    """What ``pip install 'stepbridge[local]'`` installs, the two from their wheels."""
    (stepbridge,), (local,) = wheels.glob("stepbridge-*.whl"), wheels.glob("stepbridge_local-*.whl")
    requirements = [f"stepbridge[local] @ {stepbridge.as_uri()}", local]
    folder = made_once(shared / "both", lambda venv: make_environment(venv, sys.executable, requirements, pins))
    return Environment(folder, tmp_path)


def test_a_new_project_comes_up_with_its_model_and_goes_down(both: Environment) -> None:
    """Airflow has the card's DAG, no import error and one plugin; the local AWS answers; ``down`` ends both."""
    both.run("stepbridge init project")
    project = both.home / "project"
    write_model(project, "containers/sales", "scripts/sales")
    (project / "dags/models/sales.yaml").write_text(CARD)
    here = replace(both, home=project)
    text = here.run("stepbridge up --port 0 --aws-port 0")
    try:
        airflow, password = re.search(r"Airflow: +(\S+) +user admin +password (\S+)", text).groups()  # type: ignore[union-attr]
        aws = re.search(r"Local AWS: +(http\S+)", text)
        assert aws, text
        assert httpx.get(f"{aws[1]}/_stepbridge/health").is_success
        with httpx.Client(base_url=airflow, timeout=120) as http:
            token = http.post("/auth/token", json={"username": "admin", "password": password}).json()["access_token"]
            http.headers["Authorization"] = f"Bearer {token}"
            deadline = time.monotonic() + 120
            while http.get("/api/v2/dags/sales").status_code != httpx.codes.OK:
                assert time.monotonic() < deadline, http.get("/api/v2/importErrors").text
                time.sleep(0.5)
            assert http.get("/api/v2/importErrors").json()["total_entries"] == 0
            assert http.get("/api/v2/plugins/importErrors").json()["total_entries"] == 0
    finally:
        here.run("stepbridge down")
    with pytest.raises(httpx.TransportError):
        httpx.get(airflow)
