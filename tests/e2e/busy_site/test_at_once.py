"""Thirty runs at once, ten of them of models that are new, while people look at the UI."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from stepbridge.cli.local_site.airflow_client import AirflowClient, AirflowError
from stepbridge.cli.local_site.site import RunningSite
from tests.e2e.busy_site.airflow_calls import ended, logs, trigger, unpaused
from tests.e2e.busy_site.conftest import NEW

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800), pytest.mark.xdist_group("busy site")]

RUNS = [*((name, "at_once") for name in NEW), *(("rows", f"at_once_{number}") for number in range(20))]


@contextmanager
def visited(site: RunningSite, paths: tuple[str, ...]) -> Iterator[list[str]]:
    """Three people who load ``paths`` again and again; what they were refused."""
    refused: list[str] = []
    over = threading.Event()

    def look() -> None:
        client = site.airflow()
        while not over.is_set():
            for path in paths:
                try:
                    client._send("GET", path)
                except (AirflowError, httpx.HTTPError) as error:
                    refused.append(str(error))
            over.wait(2)
        client.close()

    visitors = [threading.Thread(target=look) for _ in range(3)]
    for visitor in visitors:
        visitor.start()
    try:
        yield refused
    finally:
        over.set()
        for visitor in visitors:
            visitor.join()


def test_thirty_runs_at_once(airflow: AirflowClient, site: RunningSite, project: Path) -> None:
    """All succeed, no request is answered with 500, no statement waits for a lock for 0.1 s or more, as PostgreSQL's
    log has it; who can start goes before who builds."""
    for name in (*NEW, "rows"):
        unpaused(airflow, name)
    with visited(site, ("/api/v2/dags/rows/dagRuns", "/api/v2/dags", "/api/v2/monitor/health")) as refused:
        for number, (name, run_id) in enumerate(RUNS):
            trigger(airflow, name, run_id, f"2026-01-01T00:00:{number:02}Z")
        for name, run_id in RUNS:
            assert ended(airflow, name, run_id) == "success", logs(airflow, name, run_id)
    assert refused == []
    texts = {file.name: file.read_text(errors="replace") for file in (project / ".stepbridge/logs").glob("*.log")}
    assert "postgres.log" in texts
    waits = ("database is locked", "deadlock detected", "still waiting for")
    assert [line for text in texts.values() for line in text.splitlines() if any(wait in line for wait in waits)] == []
    tasks = [each for name in NEW for each in airflow.task_instances(name, "at_once")]
    starts = sorted(each["end_date"] for each in tasks if each["task_id"] == "start_execution")
    builds = sorted(each["start_date"] for each in tasks if each["task_id"] == "build_image")
    print("first execution of a new model started", starts[0], "builds began", builds[0], "to", builds[-1])
    assert starts[0] < builds[-2]  # two of them still wait
