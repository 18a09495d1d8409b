"""The local site holds what people do to it: many runs at once, killed components, a stop in the middle of a run."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from stepbridge.cli.local_site.airflow_client import AirflowClient, AirflowError
from stepbridge.cli.local_site.local_aws import local_session
from stepbridge.cli.local_site.site import RunningSite
from stepbridge_local.processes import is_running

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("local_site"), pytest.mark.timeout(900)]

MODEL = "rows"
RUNS = 30
SECONDS = 600
SCRIPT = """\
from pathlib import Path

Path("/opt/ml/processing/output/rows.csv").write_text("a,b\\n1,2\\n")
"""
CARD = """\
stages: [preprocessing]
input_uri: s3://{{ var.json.stepbridge.bucket }}/in/
output_uri: s3://{{ var.json.stepbridge.bucket }}/out/{{ run_id }}/
retries: 1  # a busy machine: Airflow can take a late word of a deferral for a failure
max_active_runs: 30
"""


@pytest.fixture(scope="module")
def add_models(project: Path) -> None:
    """One model of one short script."""
    (project / f"dags/models/{MODEL}.yaml").write_text(CARD)
    (project / f"scripts/{MODEL}").mkdir()
    (project / f"scripts/{MODEL}/preprocessing.py").write_text(SCRIPT)


@pytest.fixture(scope="module")
def airflow(site: RunningSite) -> Iterator[AirflowClient]:
    s3 = local_session().client("s3", endpoint_url=site.aws_endpoint_url)
    s3.put_object(Bucket=site.stack().bucket, Key="in/day.csv", Body=b"a\n1\n")
    client = site.airflow()
    until(lambda: client.dag(MODEL), "the DAG")
    client.unpause(MODEL)
    yield client
    client.close()


def until(found: Callable[[], Any], what: str, seconds: float = SECONDS) -> Any:
    """What ``found`` gives once that is true."""
    deadline = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < deadline, what
        time.sleep(0.5)
    return value


def states(airflow: AirflowClient, runs: list[str]) -> dict[str, str]:
    answer = airflow._send("GET", f"/api/v2/dags/{MODEL}/dagRuns?limit=100") or {}
    found = {run["dag_run_id"]: run["state"] for run in answer["dag_runs"]}
    return {run: found[run] for run in runs}


def failures(airflow: AirflowClient, runs: list[str]) -> list[str]:
    """The ends of the logs of the tasks that failed, once all runs have ended."""
    until(lambda: set(states(airflow, runs).values()) <= {"success", "failed"}, "the runs' end")
    return [
        "\n".join(
            [
                f"{run} {task['task_id']}:",
                *list(airflow.task_log(MODEL, run, task["task_id"], task["try_number"]))[-15:],
            ]
        )
        for run, state in states(airflow, runs).items()
        if state == "failed"
        for task in airflow.task_instances(MODEL, run)
        if task["state"] == "failed"
    ]


def test_thirty_runs_at_once_and_no_request_fails(airflow: AirflowClient, site: RunningSite, project: Path) -> None:
    """People look at the UI meanwhile: none of their requests is answered with 500, no statement waits for a lock."""
    refused: list[str] = []
    over = threading.Event()

    def look() -> None:
        client = site.airflow()
        while not over.is_set():
            for path in (f"/api/v2/dags/{MODEL}/dagRuns", "/api/v2/dags", "/api/v2/monitor/health"):
                try:
                    client._send("GET", path)
                except (AirflowError, httpx.HTTPError) as error:
                    refused.append(str(error))
            over.wait(0.5)
        client.close()

    visitors = [threading.Thread(target=look) for _ in range(3)]
    for visitor in visitors:
        visitor.start()
    try:
        runs = [f"run_{number}" for number in range(RUNS)]
        for number, run in enumerate(runs):
            airflow.trigger(MODEL, run, f"2026-01-01T00:00:{number:02}Z")
        assert failures(airflow, runs) == []
    finally:
        over.set()
        for visitor in visitors:
            visitor.join()
    assert refused == []
    logs = {file.name: file.read_text(errors="replace") for file in (project / ".stepbridge/logs").glob("*.log")}
    assert "postgres.log" in logs
    assert [name for name, text in logs.items() if "database is locked" in text or "deadlock detected" in text] == []


def components(site: RunningSite) -> dict[str, int]:
    """The process id of each of the site's own children, by a word of its command line."""
    words = ("postgres", "stepbridge_local", "scheduler", "dag-processor", "triggerer", "api")
    found: dict[str, int] = {}
    [program] = children(site.pid)
    for pid in children(program):
        command = Path(f"/proc/{pid}/cmdline").read_bytes().decode()
        found |= {word: pid for word in words if word in command}
    return found


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.parametrize(
    "component", ["scheduler", "triggerer", "dag-processor", "api", "stepbridge_local", "postgres"]
)
def test_a_component_that_is_killed_comes_back(
    airflow: AirflowClient, site: RunningSite, project: Path, component: str
) -> None:
    """The site goes on under the same addresses, and a run that is triggered afterwards succeeds."""
    output = project / "keep-site.log"
    deployed = output.read_text().count("Stack: ") + (component == "stepbridge_local")
    killed = components(site)[component]
    os.kill(killed, signal.SIGKILL)
    until(lambda: not is_running(killed), "its end")
    until(lambda: components(site).get(component), f"{component} again", 300)
    until(lambda: answers(f"{site.aws_endpoint_url}/_stepbridge/health"), "the local AWS", 300)
    until(lambda: output.read_text().count("Stack: ") == deployed, output.read_text(), 300)
    until(lambda: not airflow.unhealthy_components(), f"{airflow.unhealthy_components()}", 300)
    run = f"after_{component}"
    until(lambda: triggered(airflow, run), "a triggered run", 300)
    assert failures(airflow, [run]) == []
    assert "ended with exit code -9; started again (1 of" in output.read_text()


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5.0).is_success
    except httpx.TransportError:
        return False


def triggered(airflow: AirflowClient, run: str) -> bool:
    airflow.trigger(MODEL, run, f"2026-02-01T00:00:00.{abs(hash(run)) % 1000000:06}Z")
    return True
