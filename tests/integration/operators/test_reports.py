"""What the run report tells of inputs, outputs and cost, and what a run that wrote nothing ends in."""

from __future__ import annotations

import json
import pickle
from typing import Any

import httpx
import pytest
from airflow.models.asset import AssetEvent
from airflow.sdk import DAG, Asset
from airflow.utils.session import create_session
from sqlalchemy import select

from stepbridge.core.run_report.failure_text import ExecutionFailedError
from stepbridge.sensors.errors import EmptyOutputError

from .airflow_runs import AirflowRuns, Failures
from .tiny_model import TinyModel

WRITES_A_TABLE = """
from pathlib import Path
Path("/opt/ml/processing/output/table.csv").write_text("a,b\\n1,2\\n3,4\\n")
"""
RAISES = """
print("reading")
raise ValueError("no column dep_delay")
"""


def test_the_report_lists_inputs_and_outputs_with_rows_and_cost(
    airflow: AirflowRuns, model: TinyModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Earlier runs' objects below the same prefix are not this run's; the report itself is none either."""
    monkeypatch.setenv("AIRFLOW_VAR_STEPBRIDGE_PRICES", json.dumps({"ml.m5.large": 3600.0}))
    model.script("preprocessing", WRITES_A_TABLE)
    failures = Failures()
    run = airflow.run(model.dag(failures, stages=["preprocessing"]), failures)
    assert run.succeeded, failures.by_task
    report = run.xcom("wait_for_execution")
    (read,) = report["inputs"]["objects"]
    assert (read["key"], read["bytes"]) == (f"input/{model.name}/day.txt", 4)
    (written,) = report["outputs"]["objects"]
    assert (written["key"], written["rows"], written["bytes"]) == (f"output/{model.name}/table.csv", 2, 12)
    assert len(written["etag"]) == 32
    assert (report["outputs"]["count"], report["outputs"]["rows"]) == (1, 2)
    assert report["cost"]["total"] == pytest.approx(report["instance_seconds"], abs=0.001)
    assert report["code_digest"] in report["code_uri"]


def test_a_report_that_cannot_be_written_fails_no_run(
    airflow: AirflowRuns, model: TinyModel, endpoint_url: str
) -> None:
    """What the execution did is paid for and there; the XCom has the report."""
    failures = Failures()
    model.script("preprocessing", WRITES_A_TABLE)
    assert airflow.run(
        model.dag(failures, stages=["preprocessing"]), failures
    ).succeeded  # the scripts are uploaded now
    faults = f"{endpoint_url}/_stepbridge/faults"
    denied = {"fault": "error", "name": "denied", "operations": ["s3:PutObject"], "status": 403, "code": "AccessDenied"}
    assert httpx.post(faults, json=denied).is_success
    try:
        again = model.dag(failures, stages=["preprocessing"], output_uri=model.output_uri("-again"))
        run = airflow.run(again, failures)
    finally:
        httpx.delete(f"{faults}/denied").raise_for_status()
    assert run.succeeded, failures.by_task
    assert run.xcom("wait_for_execution")["status"] == "SUCCEEDED"
    assert list(model.objects(model.output_uri("-again"))) == ["table.csv"]


def test_a_run_that_wrote_nothing_fails(airflow: AirflowRuns, model: TinyModel) -> None:
    """It says where nothing is and how to allow it, is not retried, and still has its report."""
    model.script("preprocessing", "print('nothing to do')")
    failures = Failures()
    run = airflow.run(model.dag(failures, stages=["preprocessing"], retries=2), failures)
    error = failures.of("wait_for_execution")
    assert isinstance(error, EmptyOutputError)
    assert f"wrote nothing below {model.output_uri()}" in str(error)
    lines = error.summary.splitlines()
    assert lines[0].startswith("execution ")
    assert lines[0].endswith(
        f": it SUCCEEDED and wrote nothing below {model.output_uri()}; expected at least one object"
    )
    assert [line.strip().partition(":")[0] for line in lines if "http://127.0.0.1" in line] == [
        "execution page",
        "job page",
        "job log",
        "output",
    ]
    assert lines[-1].startswith(
        "  what to do: preprocessing.py ended well and left no file in /opt/ml/processing/output"
    )
    assert "allow_empty_output: true" in lines[-1]
    assert "nothing to do" in str(error)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    assert run.tries["wait_for_execution"] == 1
    assert run.xcom("wait_for_execution", "run_report")["outputs"]["count"] == 0


@pytest.mark.long
def test_a_model_may_write_nothing_if_its_card_says_so(airflow: AirflowRuns, model: TinyModel) -> None:
    """Some days have no events."""
    model.script("preprocessing", "print('nothing to do')")
    failures = Failures()
    dag = model.dag(failures, stages=["preprocessing"], wait={"allow_empty_output": True})
    assert airflow.run(dag, failures).succeeded, failures.by_task


def test_a_failure_has_the_traceback_and_links_that_lead_somewhere(airflow: AirflowRuns, model: TinyModel) -> None:
    """The execution's, the job's and the log's pages are served by the local AWS."""
    model.script("preprocessing", RAISES)
    failures = Failures()
    run = airflow.run(model.dag(failures, stages=["preprocessing"]), failures)
    error = failures.of("wait_for_execution")
    assert isinstance(error, ExecutionFailedError)
    assert run.xcom("wait_for_execution", "run_report")["failure"] == str(error)
    lines = str(error).splitlines()
    begin = lines.index("  the script's error:")
    assert lines[begin + 1] == "    Traceback (most recent call last):"
    assert "    ValueError: no column dep_delay" in lines[begin:]
    links = dict(line.strip().split(": ", 1) for line in lines if ": http://127.0.0.1" in line)
    assert list(links) == ["execution page", "job page", "job log"]
    for page, text in (
        ("execution page", "FAILED"),
        ("job page", "AlgorithmError"),
        ("job log", "no column dep_delay"),
    ):
        answer = httpx.get(links[page])
        assert answer.status_code == 200
        assert text in answer.text


@pytest.mark.long
def test_the_asset_s_event_carries_the_key_figures(airflow: AirflowRuns, model: TinyModel) -> None:
    """What the asset triggers knows where the output is without asking anybody."""
    failures = Failures()
    dag: DAG = model.dag(failures, stages=["preprocessing"], wait={"outlets": [Asset(f"asset-{model.name}")]})
    run = airflow.run(dag, failures)
    assert run.succeeded, failures.by_task
    with create_session() as session:
        events: Any = session.scalars(select(AssetEvent).where(AssetEvent.source_dag_id == dag.dag_id)).all()
        extras = [event.extra for event in events]
    (extra,) = extras
    report = run.xcom("wait_for_execution")
    assert extra["output_uri"] == model.output_uri()
    assert (extra["objects"], extra["bytes"]) == (report["outputs"]["count"], report["outputs"]["bytes"])
    assert extra["execution_arn"] == report["execution_arn"]
