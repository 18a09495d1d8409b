"""What a start does about what it finds, and a wait's retry, against the local AWS."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stepbridge.aws.arns import execution_arn
from stepbridge.core.run_report.failure_text import ExecutionFailedError

from .airflow_runs import AirflowRuns, Failures, synced
from .fault_proxy import FaultProxy, states_through
from .second_airflow import started_twice, starting_dag
from .task_tries import TaskTries
from .tiny_model import TinyModel

DEADLINE_SECONDS = 60
ROOT = Path(__file__).parents[3]


@pytest.fixture
def proxy(endpoint_url: str, monkeypatch: pytest.MonkeyPatch, airflow: AirflowRuns) -> Iterator[FaultProxy]:
    """Step Functions through the proxy, everything else straight to the local AWS."""
    _ = airflow
    with FaultProxy(endpoint_url).running() as running:
        monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", states_through(running, endpoint_url))
        yield running


def machine_arn() -> str:
    return str(json.loads(os.environ["AIRFLOW_VAR_STEPBRIDGE"])["state_machine_arn"])


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


@pytest.mark.long
def test_a_retry_leaves_a_failure_that_would_come_again_to_the_wait(
    airflow: AirflowRuns, model: TinyModel, proxy: FaultProxy, machines: Any
) -> None:
    """The answer was lost, and by the time of the retry the script has failed: it is reported, and not run again."""
    model.script("preprocessing", "import sys\nsys.exit(3)")

    def fault_for(operation: str, count: int) -> str:
        if operation == "DescribeExecution" and proxy.calls["StartExecution"]:
            arn = execution_arn(machine_arn(), proxy.names_started[-1])
            deadline = time.monotonic() + DEADLINE_SECONDS
            while machines.describe_execution(executionArn=arn)["status"] == "RUNNING":
                assert time.monotonic() < deadline
                time.sleep(0.05)
        return "lose" if operation == "StartExecution" and count == 1 else "pass"

    proxy.fault_for = fault_for
    failures = Failures()
    run = airflow.run(model.dag(failures, retries=1, stages=["preprocessing"]), failures)
    assert run.tries["start_execution"] == 2
    assert isinstance(failures.of("wait_for_execution"), ExecutionFailedError)
    arn = run.xcom("start_execution")
    assert executions_of(machines, arn, model) == [arn]
    assert machines.describe_execution(executionArn=arn)["redriveCount"] == 0


def test_an_output_that_lies_in_the_input_once_it_is_rendered_starts_nothing(
    airflow: AirflowRuns, model: TinyModel, proxy: FaultProxy
) -> None:
    """Two templates that look apart can give overlapping places."""
    failures = Failures()
    model.s3.put_object(Bucket=model.bucket, Key="manual/day.txt", Body=b"raw\n")
    bucket = f"s3://{model.bucket}"
    places = {"input_uri": bucket + "/{{ run_id[:6] }}/", "output_uri": bucket + "/{{ run_id.split('_')[0] }}/out/"}
    run = airflow.run(model.dag(failures, stages=["preprocessing"], **places), failures)
    assert not run.succeeded
    text = str(failures.of("start_execution"))
    assert f"output_uri {bucket}/manual/out/ lies in input_uri {bucket}/manual/" in text
    assert proxy.calls["StartExecution"] == 0


@pytest.mark.long
def test_an_access_that_is_denied_names_the_statement(
    airflow: AirflowRuns, model: TinyModel, proxy: FaultProxy
) -> None:
    """The role of the Airflow connection lacks a permission."""
    proxy.fault_for = lambda operation, _count: "deny" if operation == "StartExecution" else "pass"
    failures = Failures()
    run = airflow.run(model.dag(failures, stages=["preprocessing"]), failures)
    assert not run.succeeded
    text = str(failures.of("start_execution"))
    assert 'add {"Effect": "Allow", "Action": "states:StartExecution", "Resource": "arn:aws:states:' in text
    assert "user/airflow" in text


def test_a_retry_of_the_wait_redrives_and_pays_for_no_finished_stage_again(
    airflow: AirflowRuns, model: TinyModel, machines: Any
) -> None:
    """The same execution continues at the stage that failed, and only there, if the wait is retried for any failure."""
    model.script("postprocessing", "import sys\nsys.exit(3)")
    failures = Failures()
    dag = model.dag(failures, retries=1, stages=["preprocessing", "postprocessing"])
    dag.get_task("wait_for_execution").retry_policy = None
    run = airflow.run(dag, failures)
    assert not run.succeeded
    assert run.tries["wait_for_execution"] == 2
    errors = failures.by_task["wait_for_execution"]
    assert all(isinstance(error, ExecutionFailedError) for error in errors)
    arn = run.xcom("start_execution")
    assert machines.describe_execution(executionArn=arn)["redriveCount"] == 1
    stages = {stage["stage"]: len(stage["jobs"]) for stage in run.xcom("wait_for_execution", "run_report")["stages"]}
    assert stages == {"preprocessing": 1, "postprocessing": 2}


@pytest.fixture
def again(model: TinyModel, machines: Any) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """What ``starting_dag`` needs for executions that sleep; none of them runs on after the test."""
    model.s3.put_object(
        Bucket=model.bucket, Key=f"code/{model.name}/preprocessing.py", Body=b"import time\ntime.sleep(900)\n"
    )
    values = {"input_uri": model.input_uri, "output_uri": model.output_uri(), "stages": ["preprocessing"]}
    yield model.name, f"s3://{model.bucket}/code/{model.name}/", values
    any_arn = machine_arn().replace(":stateMachine:", ":execution:") + ":any"
    for arn in executions_of(machines, any_arn, model):
        machines.stop_execution(executionArn=arn)


def test_a_run_that_was_deleted_and_made_again_is_a_new_run(
    airflow: AirflowRuns, model: TinyModel, machines: Any, again: tuple[str, str, dict[str, Any]]
) -> None:
    """Same DAG, same run id, same input."""
    _ = airflow
    dag = starting_dag(*again)
    synced(dag)
    run_id = f"run-{uuid.uuid4().hex[:8]}"
    arns = []
    for _number in range(2):
        run = TaskTries(dag, run_id)
        first, retried = started_twice(run)
        assert first == retried  # a retry of the same run finds it
        arns.append(first)
        run.delete()
    assert len(set(arns)) == 2
    assert sorted(executions_of(machines, arns[0], model)) == sorted(arns)


@pytest.mark.long
def test_a_rebuilt_database_and_a_second_airflow_have_executions_of_their_own(
    airflow: AirflowRuns, model: TinyModel, machines: Any, again: tuple[str, str, dict[str, Any]], tmp_path: Path
) -> None:
    """Same stack, same DAG, same run id, same input, while the others' executions run: none is adopted or stopped."""
    _ = airflow
    dag = starting_dag(*again)
    synced(dag)
    run_id = f"run-{uuid.uuid4().hex[:8]}"
    here, retried_here = started_twice(TaskTries(dag, run_id))
    name, code_uri, values = again
    command = [sys.executable, "-m", "tests.integration.operators.second_airflow", name, code_uri, json.dumps(values)]
    environment = {**os.environ, "AIRFLOW_HOME": str(tmp_path / "airflow")}
    done = subprocess.run(
        [*command, run_id], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    there, retried_there, rebuilt, retried_rebuilt = json.loads(done.stdout.splitlines()[-1])
    assert (here, there, rebuilt) == (retried_here, retried_there, retried_rebuilt)
    assert len({here, there, rebuilt}) == 3
    assert sorted(executions_of(machines, here, model)) == sorted([here, there, rebuilt])
    for arn in (here, there, rebuilt):
        described = machines.describe_execution(executionArn=arn)
        assert (described["status"], described["redriveCount"]) == ("RUNNING", 0)
