"""Rows of the start table that need bad luck: lost answers, races, kills in the middle of a call."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG

from stepbridge.core.deployment import Deployment
from stepbridge.errors import ExecutionInputError
from stepbridge.operators.execution_starter import START_KEY
from stepbridge.operators.kill_guard import StartKilledError
from stepbridge.operators.start_execution import StartExecutionOperator
from stepbridge.sensors.execution import ExecutionSensor

from .airflow_runs import AirflowRuns, Failures, restarting
from .fault_proxy import FaultProxy, states_through
from .tiny_model import TinyModel

DEADLINE_SECONDS = 180


@pytest.fixture
def proxy(endpoint_url: str, monkeypatch: pytest.MonkeyPatch, airflow: AirflowRuns) -> Iterator[FaultProxy]:
    """Step Functions through the proxy, everything else straight to the local AWS."""
    _ = airflow
    with FaultProxy(endpoint_url).running() as running:
        monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", states_through(running, endpoint_url))
        yield running


def executions_of(machines: Any, arn: str, model: TinyModel) -> list[dict[str, Any]]:
    machine = arn.replace(":execution:", ":stateMachine:").rpartition(":")[0]
    listed = machines.list_executions(stateMachineArn=machine)["executions"]
    return [item for item in listed if item["name"].startswith(f"{model.name}-")]


WRITES = b"from pathlib import Path\nPath('/opt/ml/processing/output/day.txt').write_text('done')\n"


def test_two_workers_that_start_the_same_run_share_one_execution(
    airflow: AirflowRuns, model: TinyModel, deployment: Deployment, machines: Any
) -> None:
    """A try whose worker was given up goes on beside the next one: who comes second finds what the first started."""
    _ = airflow
    gate = threading.Barrier(8)
    code = f"s3://{model.bucket}/code/{model.name}/"
    model.s3.put_object(Bucket=model.bucket, Key=f"code/{model.name}/preprocessing.py", Body=b"import time")
    values = {"input_uri": model.input_uri, "output_uri": model.output_uri(), "stages": ["preprocessing"]}
    saved = {START_KEY: {"token": "0123456789abcdef", "number": 0, "execution_arn": "", "max_tries": 1}}

    def started(_number: int) -> str:
        with DAG("d", schedule=None):
            operator = StartExecutionOperator(
                task_id="start_execution", model=model.name, image_uri=None, code_uri=code, parameters=values,
                deployment=deployment.to_json(),
            )  # fmt: skip
        instance = SimpleNamespace(
            dag_id="d", task_id="t", run_id="r", map_index=-1, try_number=2, max_tries=1, xcom_push=lambda **_: None
        )
        context: Any = {
            "ti": instance,
            "run_id": "r",
            "task": operator,
            "dag_run": SimpleNamespace(conf={}),
            "task_state_store": SimpleNamespace(get=saved.get, set=lambda *_, **_others: None),
        }
        gate.wait(DEADLINE_SECONDS)
        return operator.execute(context)

    with ThreadPoolExecutor(8) as pool:
        arns = set(pool.map(started, range(8)))
    [arn] = arns
    assert len(executions_of(machines, arn, model)) == 1


@pytest.mark.long
def test_mapped_tasks_and_other_dates_have_executions_of_their_own(
    airflow: AirflowRuns, model: TinyModel, machines: Any
) -> None:
    """Two inputs on two days, as a backfill makes them: four executions, all of which succeed."""
    model.s3.put_object(Bucket=model.bucket, Key=f"code/{model.name}/preprocessing.py", Body=WRITES)
    values = [{"input_uri": model.input_uri, "output_uri": model.output_uri("/same/"), "stages": ["preprocessing"]}] * 2
    failures = Failures()
    with DAG(f"{model.name}-mapped", schedule=None, default_args={"on_failure_callback": failures}) as dag:
        start = StartExecutionOperator.partial(
            task_id="start_execution",
            model=model.name,
            image_uri=None,
            code_uri=f"s3://{model.bucket}/code/{model.name}/",
        ).expand(parameters=values)
        ExecutionSensor.partial(task_id="wait_for_execution").expand(execution_arn=start.output)
    for day in (1, 2):
        run = airflow.run(dag, failures, logical_date=datetime(2026, 1, day, tzinfo=UTC))
        assert run.succeeded, failures.by_task
    machine = json.loads(os.environ["AIRFLOW_VAR_STEPBRIDGE"])["state_machine_arn"]
    found = executions_of(machines, machine.replace(":stateMachine:", ":execution:") + ":any", model)
    assert [item["status"] for item in found] == ["SUCCEEDED"] * 4
    assert len({item["name"] for item in found}) == 4


@pytest.fixture
def own_sigterm() -> Iterator[None]:
    """Airflow's task runner takes over SIGTERM and keeps it; the test session gets it back."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("own_sigterm")
def test_a_start_that_was_cleared_while_it_starts_leaves_nothing_running(
    airflow: AirflowRuns, model: TinyModel, proxy: FaultProxy, machines: Any
) -> None:
    """SIGTERM, in the middle of StartExecution: what is started nevertheless is stopped, with who and why."""
    model.script("preprocessing", "import time\ntime.sleep(600)")
    begun: list[str] = []

    def fault_for(operation: str, _count: int) -> str:
        if operation == "StartExecution" and not begun:
            begun.append(operation)
            restarting("start_execution")
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(1)  # on_kill finds nothing to stop yet
        return "pass"

    proxy.fault_for = fault_for
    failures = Failures()
    dag = model.dag(failures, stages=["preprocessing"], wait={"timeout": 30})
    run = airflow.run(dag, failures)
    assert not run.succeeded
    machine = json.loads(os.environ["AIRFLOW_VAR_STEPBRIDGE"])["state_machine_arn"]
    [execution] = executions_of(machines, machine.replace(":stateMachine:", ":execution:") + ":any", model)
    described = machines.describe_execution(executionArn=execution["executionArn"])
    assert described["status"] == "ABORTED"
    assert isinstance(failures.of("start_execution"), StartKilledError)
    assert ".start_execution of run " in described["cause"]
    assert described["cause"].endswith("was killed in the worker: cleared, or its run was, while it ran")


@pytest.mark.usefixtures("own_sigterm")
def test_a_worker_that_is_drained_while_it_starts_stops_nothing(
    airflow: AirflowRuns, model: TinyModel, proxy: FaultProxy, machines: Any
) -> None:
    """SIGTERM in the middle of StartExecution and of the waits after it, while Airflow has the task as running."""
    signalled: list[str] = []

    def fault_for(operation: str, _count: int) -> str:
        if operation not in signalled:
            signalled.append(operation)
            os.kill(os.getpid(), signal.SIGTERM)
        return "pass"

    proxy.fault_for = fault_for
    failures = Failures()
    run = airflow.run(model.dag(failures, stages=["preprocessing"], wait={"deferrable": False}), failures)
    assert run.succeeded, failures.by_task
    assert {"StartExecution", "DescribeExecution"} <= set(signalled)
    assert proxy.calls["StopExecution"] == 0
    assert machines.describe_execution(executionArn=run.xcom("start_execution"))["redriveCount"] == 0


@pytest.mark.usefixtures("own_sigterm")
@pytest.mark.parametrize("arrived", [False, pytest.param(True, marks=pytest.mark.long)])
def test_a_kill_does_not_wait_for_the_answer_that_is_on_the_way(
    airflow: AirflowRuns, model: TinyModel, proxy: FaultProxy, machines: Any, arrived: bool
) -> None:
    """StartExecution is answered only once StopExecution has come, whether the start had arrived by then or not."""
    model.script("preprocessing", "import time\ntime.sleep(600)")
    killed: list[str] = []

    def kill(operation: str) -> None:
        if operation != "StartExecution" or killed:
            return
        killed.append(operation)
        restarting("start_execution")
        os.kill(os.getpid(), signal.SIGTERM)
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not proxy.calls["StopExecution"]:
            assert time.monotonic() < deadline, "the kill waits for the answer"
            time.sleep(0.01)

    def fault_for(operation: str, _count: int) -> str:
        if not arrived:
            kill(operation)
        return "pass"

    def carried_out(operation: str, _count: int) -> None:
        if arrived:
            kill(operation)

    proxy.fault_for, proxy.carried_out = fault_for, carried_out
    failures = Failures()
    run = airflow.run(model.dag(failures, stages=["preprocessing"], wait={"timeout": 30}), failures)
    assert killed
    assert not run.succeeded
    assert isinstance(failures.of("start_execution"), StartKilledError)
    machine = json.loads(os.environ["AIRFLOW_VAR_STEPBRIDGE"])["state_machine_arn"]
    [execution] = executions_of(machines, machine.replace(":stateMachine:", ":execution:") + ":any", model)
    assert execution["status"] == "ABORTED"


@pytest.mark.long
def test_a_template_in_the_form_reads_no_connection(airflow: AirflowRuns, model: TinyModel) -> None:
    """Whoever may trigger a run may not read aws_default's password by it; dates they may use."""
    failures = Failures()
    dag = model.dag(failures, stages=["preprocessing"])
    answers = {"output_uri": "s3://{{ conn.aws_default.password }}/out/"}
    refused = airflow.run(dag, failures, logical_date=datetime(2026, 1, 1, tzinfo=UTC), **answers)
    assert not refused.succeeded
    error = failures.of("start_execution")
    assert isinstance(error, ExecutionInputError)
    assert "'conn' is undefined for a value from the form" in str(error)
    assert "local-secret-key" not in str(error)
    dated = model.output_uri("/{{ ds }}/")
    allowed = airflow.run(dag, failures, logical_date=datetime(2026, 1, 2, tzinfo=UTC), output_uri=dated)
    assert allowed.succeeded, failures.by_task
    assert "day.txt" in model.objects(model.output_uri("/2026-01-02/"))
