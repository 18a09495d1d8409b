"""A real Airflow keeps runs from starting at too high a cost or side by side, and reports them to OpenLineage."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from stepbridge.cli.local_site.airflow_client import AirflowClient
from stepbridge.cli.local_site.local_aws import local_session
from stepbridge.cli.local_site.site import RunningSite
from tests.e2e.conftest import until

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("quiet site")]

UNANSWERED_SECONDS = 6.0
"""As fast as a person answers. Airflow 3.3.2 takes an answer before the scheduler heard of the worker's end (which may
be a heartbeat later) for a failure of the task: it is queued again by then (seen)."""


@pytest.fixture(scope="module")
def airflow(site: RunningSite) -> Iterator[AirflowClient]:
    s3 = local_session().client("s3", endpoint_url=site.aws_endpoint_url)
    s3.put_object(Bucket=site.stack().bucket, Key="guards/day.csv", Body=b"a\n1\n")
    client = site.airflow()
    pool = {"name": "narrow", "slots": 1, "include_deferred": True}
    assert client._send("POST", "/api/v2/pools", pool)
    for dag_id in ("expensive", "pooled_a", "pooled_b"):
        until(lambda dag_id=dag_id: client.dag(dag_id), f"DAG {dag_id}")
        client.unpause(dag_id)
    yield client
    client.close()


def states(airflow: AirflowClient, dag_id: str, run_id: str) -> dict[str, str]:
    return {task["task_id"]: task["state"] for task in airflow.task_instances(dag_id, run_id)}


def ended(airflow: AirflowClient, dag_id: str, run_id: str) -> dict[str, str]:
    """The tasks' states once the run has ended."""
    until(lambda: airflow.dag_run(dag_id, run_id)["state"] in ("success", "failed"), f"{dag_id} {run_id}")
    return states(airflow, dag_id, run_id)


def answered(airflow: AirflowClient, run_id: str, option: str, day: int) -> dict[str, Any]:
    """Trigger the expensive model, answer its question, and return that."""
    airflow.trigger("expensive", run_id, f"2026-01-{day:02}T00:00:00Z")
    until(lambda: states(airflow, "expensive", run_id).get("approve_cost") == "awaiting_input", "the question")
    path = f"/api/v2/dags/expensive/dagRuns/{run_id}/taskInstances/approve_cost/-1/hitlDetails"
    question = airflow._send("GET", path)
    assert question is not None
    assert states(airflow, "expensive", run_id)["start_execution"] in (None, "none")
    time.sleep(UNANSWERED_SECONDS)
    airflow._send("PATCH", path, {"chosen_options": [option], "params_input": {}})
    return question


def test_an_expensive_run_starts_when_somebody_approves(airflow: AirflowClient) -> None:
    """The question has the figures; after the answer it runs like any other."""
    question = answered(airflow, "approved", "Approve", 1)
    assert question["subject"] == "Start expensive? It may cost up to 0.12; the limit is 0.01"
    assert "ml.m5.large" in question["body"]
    assert ended(airflow, "expensive", "approved") == {
        "upload_scripts": "success",
        "approve_cost": "success",
        "start_execution": "success",
        "wait_for_execution": "success",
    }


def test_an_expensive_run_that_is_rejected_starts_nothing(airflow: AirflowClient) -> None:
    """Its other tasks are skipped."""
    answered(airflow, "rejected", "Reject", 2)
    found = ended(airflow, "expensive", "rejected")
    assert found["start_execution"] == found["wait_for_execution"] == "skipped"
    assert airflow.xcom("expensive", "rejected", "start_execution") is None


def test_executions_of_two_models_take_turns_in_a_pool_of_one(airflow: AirflowClient, site: RunningSite) -> None:
    """Four runs at once: no execution starts before the one before it has ended."""
    runs = [(dag_id, f"turn{number}") for dag_id in ("pooled_a", "pooled_b") for number in (1, 2)]
    for dag_id, run_id in runs:
        airflow.trigger(dag_id, run_id, f"2026-02-0{run_id[-1]}T00:00:00Z")
    client = local_session().client("stepfunctions", endpoint_url=site.aws_endpoint_url)
    spans: list[tuple[datetime, datetime]] = []
    for dag_id, run_id in runs:
        assert set(ended(airflow, dag_id, run_id).values()) == {"success"}
        execution = client.describe_execution(executionArn=airflow.xcom(dag_id, run_id, "start_execution"))
        spans.append((execution["startDate"], execution["stopDate"]))
    spans.sort()
    assert all(earlier[1] <= later[0] for earlier, later in pairwise(spans)), spans


def test_open_lineage_is_told_of_datasets_and_execution(
    airflow: AirflowClient, site: RunningSite, lineage_file: Path
) -> None:
    """By the provider's own listener in the worker: input, output with its rows and bytes, and the ARN."""
    airflow.trigger("pooled_a", "lineage", "2026-03-01T00:00:00Z")
    assert set(ended(airflow, "pooled_a", "lineage").values()) == {"success"}
    bucket = site.stack().bucket

    def completed() -> dict[str, dict[str, Any]]:
        lines = lineage_file.read_text().splitlines() if lineage_file.exists() else []
        events = [json.loads(line) for line in lines]
        told = [event for event in events if event["eventType"] == "COMPLETE" and event["outputs"]]
        by_task = {event["job"]["name"]: event for event in told if "/lineage" in event["outputs"][0]["name"]}
        return by_task if len(by_task) == 2 else {}

    events = until(completed, "OpenLineage's events")
    assert set(events) == {"pooled_a.start_execution", "pooled_a.wait_for_execution"}
    arn = airflow.xcom("pooled_a", "lineage", "start_execution")
    for event in events.values():
        assert event["run"]["facets"]["externalQuery"]["externalQueryId"] == arn
        assert [(each["namespace"], each["name"]) for each in event["inputs"]] == [(f"s3://{bucket}", "guards")]
        (output,) = event["outputs"]
        assert (output["namespace"], output["name"]) == (f"s3://{bucket}", "out/pooled_a/lineage")
    waited = events["pooled_a.wait_for_execution"]
    figures = waited["outputs"][0]["outputFacets"]["outputStatistics"]
    assert (figures["rowCount"], figures["size"], figures["fileCount"]) == (2, 12, 1)
    assert waited["inputs"][0]["inputFacets"]["inputStatistics"]["size"] == 4
