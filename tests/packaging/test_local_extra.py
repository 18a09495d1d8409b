"""``stepbridge[local]`` from the two wheels: a new project comes up with Airflow and the local AWS."""

from __future__ import annotations

import html
import re
import sys
import time
from dataclasses import replace
from pathlib import Path
from urllib.parse import urljoin

import httpx
import pytest

from .environments import Environment, made_once, make_environment
from .hand_written import write_model

CARD = """
input_uri: "s3://{{ var.json.stepbridge.bucket }}/sales/input/"
output_uri: "s3://{{ var.json.stepbridge.bucket }}/out/"
"""

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]


@pytest.fixture
def both(shared: Path, wheels: Path, pins: Path, tmp_path: Path) -> Environment:
    """What ``pip install 'stepbridge[local]'`` installs, the two from their wheels."""
    (stepbridge,), (local,) = wheels.glob("stepbridge-*.whl"), wheels.glob("stepbridge_local-*.whl")
    requirements = [f"stepbridge[local] @ {stepbridge.as_uri()}", local]
    folder = made_once(shared / "both", lambda venv: make_environment(venv, sys.executable, requirements, pins))
    return Environment(folder, tmp_path)


def link_of(page: str, name: str) -> str:
    """The address behind a link on a page."""
    found = httpx.get(page)
    assert found.is_success, page
    links = re.findall(r'<a href="([^"]+)">([^<]+)</a>', found.text)
    return urljoin(page, html.unescape(next(address for address, shown in links if shown == name)))


def follow_the_hints(here: Environment, text: str) -> None:
    """Upload and trigger with the lines that ``up`` printed, in a shell as the user's."""
    upload = re.search(r"Upload: +curl -T FILE (\S+)", text)[1]  # type: ignore[index]
    stored = httpx.put(upload.replace("MODEL", "sales").replace("FILE", "day.txt"), content=b"raw")  # as curl does
    assert stored.is_success, stored.text
    source = re.search(r"Shell: +(\. \S+)", text)[1]  # type: ignore[index]
    trigger = re.search(r" +(airflow dags unpause.+)", text)[1].replace("MODEL", "sales")  # type: ignore[index]
    script = " && ".join([source, *trigger.split("; "), "command -v airflow"])
    assert str(here.folder / "bin/airflow") in here.run(["/bin/sh", "-c", script])


def test_a_new_project_comes_up_with_its_model_and_goes_down(both: Environment) -> None:
    """Airflow has the card's DAG, no import error and one plugin; the lines that ``up`` prints upload, trigger and show
    the results; ``down`` ends both."""
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
            follow_the_hints(here, text)
            while (run := http.get("/api/v2/dags/sales/dagRuns").json()["dag_runs"][0])["state"] != "success":
                assert run["state"] != "failed", http.get("/api/v2/dags/sales/dagRuns/~/taskInstances").text
                assert time.monotonic() < deadline + 240, run
                time.sleep(0.5)
        page = re.search(r"Results: +(\S+)", text)[1]  # type: ignore[index]
        for name in ("out/", "day.txt"):
            page = link_of(page, name)
        assert httpx.get(page).text == "raw..."
    finally:
        here.run("stepbridge down")
    with pytest.raises(httpx.TransportError):
        httpx.get(airflow)
