"""A site whose disk fills up while it runs goes on, by itself, when there is room again."""

from __future__ import annotations

import secrets
import signal
import subprocess
from pathlib import Path

import pytest

from stepbridge.cli.local_site.airflow_client import AirflowClient, AirflowError
from stepbridge.cli.local_site.local_aws import local_session
from stepbridge.cli.local_site.site import RunningSite, SiteSettings, find_running_site
from tests.e2e.conftest import copy_project, until
from tests.small_disk import MIB, SmallDisk, small_disk

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("full disk"), pytest.mark.timeout(1200)]

SCRIPT = 'from pathlib import Path\nPath("/opt/ml/processing/output/rows.csv").write_text("a,b\\n1,2\\n")\n'
CARD = """\
stages: [preprocessing]
input_uri: s3://{{ var.json.stepbridge.bucket }}/in/
output_uri: s3://{{ var.json.stepbridge.bucket }}/out/{{ run_id }}/
retries: 0
max_active_runs: 16
"""
DURING = ("during_0", "during_1", "during_2")
DATES = {run_id: f"2026-01-01T00:00:0{number}Z" for number, run_id in enumerate(("before", *DURING, "after"))}


def rows_project(folder: Path) -> Path:
    project = copy_project(folder)
    for card in (project / "dags/models").iterdir():
        card.unlink()
    (project / "dags/models/rows.yaml").write_text(CARD)
    (project / "scripts/rows").mkdir()
    (project / "scripts/rows/preprocessing.py").write_text(SCRIPT)
    (project / "containers/scikit_learn/Dockerfile").write_text('FROM python:3-slim\nENTRYPOINT ["python3"]\n')
    return project


def test_a_site_goes_on_when_there_is_room_again(tmp_path: Path) -> None:
    """What was there is there; the runs of the time without room end, and the next one succeeds. Nothing was deleted,
    cleared or started by hand."""
    project = rows_project(tmp_path / "project")
    with small_disk(project / ".stepbridge", 400 * MIB) as disk:
        output = tmp_path / "keep-site.log"
        with output.open("wb") as log:
            command = disk.command(project, "keep-site", "--port", "0", "--aws-port", "0")
            keeper = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            settings = SiteSettings(project, disk.seen)
            until(lambda: keeper.poll() is not None or find_running_site(settings), "the site")
            site = find_running_site(settings)
            assert site is not None, output.read_text()
            fill_and_free(site, disk, output)
            assert keeper.poll() is None
        finally:
            keeper.send_signal(signal.SIGTERM)
            keeper.wait(240)


def fill_and_free(site: RunningSite, disk: SmallDisk, output: Path) -> None:
    s3 = local_session().client("s3", endpoint_url=site.aws_endpoint_url)
    s3.put_object(Bucket=site.stack().bucket, Key="in/day.csv", Body=b"a\n1\n")
    airflow = site.airflow()
    until(lambda: airflow.dag("rows"), "the DAG")
    airflow.unpause("rows")
    assert triggered(airflow, "before")
    until(lambda: state(airflow, "before") in ("success", "failed"), "the run before")
    assert state(airflow, "before") == "success"

    disk.fill()
    during = [run_id for run_id in DURING if triggered(airflow, run_id)]
    until(lambda: refuses_to_store(airflow), "a refusal of Airflow's database")
    until(lambda: "is full: make room on it" in output.read_text(), "a line that says so")
    disk.free()

    until(lambda: "was full: restarting airflow-scheduler" in output.read_text(), "restarts")
    until(lambda: triggered(airflow, "after"), "an answer")
    for run_id in ("after", *during):
        until(lambda run_id=run_id: state(airflow, run_id) in ("success", "failed"), f"the end of {run_id}")  # type: ignore[misc]
    assert (state(airflow, "before"), state(airflow, "after")) == ("success", "success")
    airflow.close()


def state(airflow: AirflowClient, run_id: str) -> str:
    try:
        return str(airflow.dag_run("rows", run_id)["state"])
    except AirflowError as error:
        return str(error)


def triggered(airflow: AirflowClient, run_id: str) -> bool:
    """Whether the run is there; a full disk may leave it out."""
    try:
        airflow.trigger("rows", run_id, DATES[run_id])
    except AirflowError as error:
        return "HTTP 409" in str(error)
    return True


def refuses_to_store(airflow: AirflowClient) -> bool:
    try:
        airflow.set_variable("large", secrets.token_hex(100_000), "")
    except AirflowError:
        return True
    return False
