"""What a start does about what it finds, and a wait's retry, against the local AWS."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from stepbridge.sensors.errors import ExecutionFailedError

from .airflow_runs import AirflowRuns, Failures
from .fault_proxy import FaultProxy, states_through
from .tiny_model import TinyModel


@pytest.fixture
def proxy(endpoint_url: str, monkeypatch: pytest.MonkeyPatch, airflow: AirflowRuns) -> Iterator[FaultProxy]:
    """Step Functions through the proxy, everything else straight to the local AWS."""
    _ = airflow
    with FaultProxy(endpoint_url).running() as running:
        monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", states_through(running, endpoint_url))
        yield running


def executions_of(machines: Any, arn: str, model: TinyModel) -> list[str]:
    machine = arn.replace(":execution:", ":stateMachine:").rpartition(":")[0]
    listed = machines.list_executions(stateMachineArn=machine)["executions"]
    return [item["executionArn"] for item in listed if item["name"].startswith(f"{model.name}-")]


def test_a_lost_answer_starts_no_second_execution(
    airflow: AirflowRuns, model: TinyModel, proxy: FaultProxy, machines: Any
) -> None:
    """The call arrived, its answer did not: the retry finds what it started."""
    proxy.fault_for = lambda operation, count: "lose" if operation == "StartExecution" and count == 1 else "pass"
    failures = Failures()
    run = airflow.run(model.dag(failures, retries=1, stages=["preprocessing"]), failures)
    assert run.succeeded, failures.by_task
    assert run.tries["start_execution"] == 2
    assert executions_of(machines, run.xcom("start_execution"), model) == [run.xcom("start_execution")]


def test_an_access_that_is_denied_names_the_statement(
    airflow: AirflowRuns, model: TinyModel, proxy: FaultProxy
) -> None:
    """The role of the Airflow connection lacks a permission."""
    proxy.fault_for = lambda operation, _count: "deny" if operation == "StartExecution" else "pass"
    failures = Failures()
    run = airflow.run(model.dag(failures, stages=["preprocessing"]), failures)
    assert not run.succeeded
    text = str(failures.of("start_execution"))
    assert "allow states:StartExecution on arn:aws:states" in text
    assert "user/airflow" in text


def test_a_retry_of_the_wait_redrives_and_pays_for_no_finished_stage_again(
    airflow: AirflowRuns, model: TinyModel, machines: Any
) -> None:
    """The same execution goes on at the stage that failed, and only there."""
    model.script("postprocessing", "import sys\nsys.exit(3)")
    failures = Failures()
    run = airflow.run(model.dag(failures, retries=1, stages=["preprocessing", "postprocessing"]), failures)
    assert not run.succeeded
    assert run.tries["wait_for_execution"] == 2
    errors = failures.by_task["wait_for_execution"]
    assert all(isinstance(error, ExecutionFailedError) for error in errors)
    arn = run.xcom("start_execution")
    assert machines.describe_execution(executionArn=arn)["redriveCount"] == 1
    stages = {stage["stage"]: len(stage["jobs"]) for stage in run.xcom("wait_for_execution", "run_report")["stages"]}
    assert stages == {"preprocessing": 1, "postprocessing": 2}
