"""The Amazon provider's own hooks, operators, sensors and triggers, in DAG runs of a real Airflow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.amazon.aws.hooks.s3 import S3Hook
from airflow.providers.amazon.aws.operators.s3 import S3CreateObjectOperator
from airflow.providers.amazon.aws.operators.sagemaker import SageMakerProcessingOperator
from airflow.providers.amazon.aws.operators.step_function import (
    StepFunctionGetExecutionOutputOperator,
    StepFunctionStartExecutionOperator,
)
from airflow.providers.amazon.aws.sensors.s3 import S3KeySensor
from airflow.providers.amazon.aws.sensors.step_function import StepFunctionExecutionSensor
from airflow.sdk import DAG
from tests.integration.operators.airflow_runs import AirflowRuns, Failures

from stepbridge_local.testing import REGION

from .conftest import Site

pytestmark = pytest.mark.xdist_group("airflow provider")

SYNC = "arn:aws:states:::sagemaker:createProcessingJob.sync"


@pytest.fixture(scope="session")
def airflow_database() -> None:
    """Airflow's tables, in the session's own home."""
    from airflow.utils.db import initdb

    initdb()


@pytest.fixture
def airflow(airflow_database: None, site: Site, monkeypatch: pytest.MonkeyPatch) -> AirflowRuns:
    """Airflow whose connection aws_default leads to the local AWS: nothing else is configured."""
    _ = airflow_database
    connection = {
        "conn_type": "aws",
        "login": "local",
        "password": "local",
        "extra": {"region_name": REGION, "endpoint_url": site.endpoint_url},
    }
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps(connection))
    return AirflowRuns()


def new_dag(site: Site, failures: Failures) -> DAG:
    arguments = {"retries": 0, "on_failure_callback": failures}
    return DAG(site.unique("provider"), schedule=None, default_args=arguments)


def machine(site: Site, prefix: str, *arguments: str) -> str:
    """A state machine, in JSONPath, that runs a job named after its execution; its input has ``seconds``."""
    job = site.job(prefix, *arguments) | {"ProcessingJobName.$": "$$.Execution.Name"}
    job["Environment"] = {"SECONDS.$": "$.seconds"}
    del job["ProcessingJobName"]
    states = {"Run": {"Type": "Task", "Resource": SYNC, "Parameters": job, "End": True}}
    created = site.client("stepfunctions").create_state_machine(
        name=prefix, definition=json.dumps({"StartAt": "Run", "States": states}), roleArn=site.role_arn
    )
    return str(created["stateMachineArn"])


def statuses(site: Site, *names: str) -> list[str]:
    sagemaker = site.client("sagemaker")
    return [sagemaker.describe_processing_job(ProcessingJobName=name)["ProcessingJobStatus"] for name in names]


@pytest.mark.long
def test_processing_operators_wait_for_their_jobs(airflow: AirflowRuns, site: Site) -> None:
    """An input is put and sensed; one job is waited for in the worker, one in the triggerer; the result is the job."""
    plain, deferred = site.unique("operator"), site.unique("operator-deferred")
    failures = Failures()
    with new_dag(site, failures) as dag:
        for name, deferrable in ((plain, False), (deferred, True)):
            put = S3CreateObjectOperator(
                task_id=f"put_{deferrable}", s3_bucket=site.bucket, s3_key=f"in/{name}/day.txt", data="hello"
            )
            here = S3KeySensor(
                task_id=f"here_{deferrable}",
                bucket_key=site.uri("in", name, "*.txt"),
                wildcard_match=True,
                poke_interval=0.2,
            )
            run = SageMakerProcessingOperator(
                task_id=f"run_{deferrable}",
                config=site.job(name, SECONDS="1"),
                wait_for_completion=True,
                deferrable=deferrable,
                check_interval=1,
            )
            put >> here >> run
    done = airflow.run(dag, failures)
    assert done.succeeded, failures.by_task
    assert statuses(site, plain, deferred) == ["Completed", "Completed"]
    assert site.text(f"out/{plain}/day.txt") == site.text(f"out/{deferred}/day.txt") == "HELLO"
    for deferrable, name in ((False, plain), (True, deferred)):
        job = done.xcom(f"run_{deferrable}")["Processing"]
        assert (job["ProcessingJobName"], job["ProcessingJobStatus"]) == (name, "Completed")


@pytest.mark.long
def test_a_processing_operator_finds_a_new_name_and_reads_an_output(
    airflow: AirflowRuns, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that is taken gets a time behind it; a small JSON output comes back as XCom."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", site.endpoint_url)  # here the operator passes its connection's by
    taken = site.run_job("taken")["ProcessingJobName"]
    site.put(f"in/{taken}/numbers.txt", '[1, "TWO"]')
    failures = Failures()
    wanted = [{"output_name": "data", "file_name": "numbers.txt", "result_name": "numbers"}]
    with new_dag(site, failures) as dag:
        SageMakerProcessingOperator(
            task_id="again", config=site.job(taken), check_interval=1, output_files_to_xcom=wanted
        )
    done = airflow.run(dag, failures)
    assert done.succeeded, failures.by_task
    assert done.xcom("again")["Processing"]["ProcessingJobName"].startswith(f"{taken}-")
    assert done.xcom("again")["OutputFiles"] == {"numbers": [1, "TWO"]}


@pytest.mark.long
@pytest.mark.parametrize("deferrable", [False, True])
def test_a_processing_operator_fails_with_its_job(airflow: AirflowRuns, site: Site, deferrable: bool) -> None:
    """The task fails, with the reason of the job's failure where it waits in the worker."""
    name = site.with_input("operator-failure")
    failures = Failures()
    with new_dag(site, failures) as dag:
        SageMakerProcessingOperator(
            task_id="run", config=site.job(name, "fail", SECONDS="1"), deferrable=deferrable, check_interval=1
        )
    assert airflow.run(dag, failures).states == {"run": "failed"}
    assert statuses(site, name) == ["Failed"]
    assert ("AlgorithmError" in str(failures.of("run"))) or deferrable


def test_executions_are_started_sensed_and_read(airflow: AirflowRuns, site: Site) -> None:
    """Start, wait with the sensor or deferred, and get the output: the job's description."""
    arn = machine(site, site.with_input("started"))
    plain, deferred = site.unique("execution"), site.unique("execution-deferred")
    failures = Failures()
    with new_dag(site, failures) as dag:
        start = StepFunctionStartExecutionOperator(
            task_id="start", state_machine_arn=arn, name=plain, state_machine_input={"seconds": "1"}
        )
        arn_of_start: Any = start.output
        wait = StepFunctionExecutionSensor(task_id="wait", execution_arn=arn_of_start, poke_interval=0.2)
        read = StepFunctionGetExecutionOutputOperator(task_id="read", execution_arn=arn_of_start)
        start >> wait >> read
        later = StepFunctionStartExecutionOperator(
            task_id="later",
            state_machine_arn=arn,
            name=deferred,
            state_machine_input={"seconds": "1"},
            deferrable=True,
            waiter_delay=1,
        )
        arn_of_later: Any = later.output
        StepFunctionGetExecutionOutputOperator(task_id="read_later", execution_arn=arn_of_later)
    done = airflow.run(dag, failures)
    assert done.succeeded, failures.by_task
    assert done.xcom("start").endswith(f":{plain}")
    assert done.xcom("wait", "output")["ProcessingJobName"] == plain
    assert done.xcom("read")["ProcessingJobStatus"] == "Completed"
    assert done.xcom("read_later")["ProcessingJobName"] == deferred


@pytest.mark.long
def test_an_execution_that_fails_fails_its_waits(airflow: AirflowRuns, site: Site) -> None:
    """The sensor and the deferred operator fail; the provider reads the error's name as the output."""
    arn = machine(site, site.with_input("broken"), "fail")
    failures = Failures()
    with new_dag(site, failures) as dag:
        start = StepFunctionStartExecutionOperator(
            task_id="start", state_machine_arn=arn, state_machine_input={"seconds": "0"}
        )
        arn_of_start: Any = start.output
        wait = StepFunctionExecutionSensor(task_id="wait", execution_arn=arn_of_start, poke_interval=0.2)
        read = StepFunctionGetExecutionOutputOperator(
            task_id="read", execution_arn=arn_of_start, trigger_rule="all_done"
        )
        wait >> read
        StepFunctionStartExecutionOperator(
            task_id="later",
            state_machine_arn=arn,
            state_machine_input='{"seconds": "1"}',
            deferrable=True,
            waiter_delay=1,
        )
    done = airflow.run(dag, failures)
    assert done.states == {"start": "success", "wait": "failed", "read": "success", "later": "failed"}
    assert "Step Function sensor failed" in str(failures.of("wait"))
    assert "States.TaskFailed" in str(failures.of("later"))
    assert done.xcom("read") == "States.TaskFailed"


@pytest.mark.long
def test_a_failed_execution_is_redriven(airflow: AirflowRuns, site: Site) -> None:
    """``is_redrive_execution`` continues the execution of that name."""
    name = site.unique("redriven")
    arn = machine(site, name)  # its jobs have no input, so that they fail
    failures = Failures()

    def start(task_id: str, **more: Any) -> StepFunctionStartExecutionOperator:
        return StepFunctionStartExecutionOperator(
            task_id=task_id, state_machine_arn=arn, name=name, deferrable=True, waiter_delay=1, **more
        )

    with new_dag(site, failures) as dag:
        first = start("first", state_machine_input={"seconds": "0"})
        second = start("second", is_redrive_execution=True, trigger_rule="all_done")
        first >> second
    done = airflow.run(dag, failures)
    assert done.states == {"first": "failed", "second": "failed"}  # its job's name is taken now
    execution_arn = f"{arn.replace(':stateMachine:', ':execution:')}:{name}"
    execution = site.client("stepfunctions").describe_execution(executionArn=execution_arn)
    assert (execution["redriveCount"], execution["error"]) == (1, "SageMaker.ResourceInUseException")


@pytest.mark.long
def test_the_hook_of_s3(airflow: AirflowRuns, site: Site, tmp_path: Path) -> None:
    """S3Hook loads, finds, lists, copies, reads, downloads, signs and deletes."""
    _ = airflow
    hook = S3Hook()
    where: dict[str, Any] = {"bucket_name": site.bucket}
    hook.load_string("one", "hook/one.txt", **where)
    (tmp_path / "two.txt").write_text("two")
    hook.load_file(tmp_path / "two.txt", "hook/below/two.txt", **where)
    assert hook.check_for_bucket(site.bucket)
    assert hook.check_for_key("hook/one.txt", **where)
    assert not hook.check_for_key("hook/none.txt", **where)
    assert hook.check_for_wildcard_key("hook/*/t?o.txt", **where)
    assert hook.list_keys(prefix="hook/", page_size=1, **where) == ["hook/below/two.txt", "hook/one.txt"]
    assert hook.list_prefixes(prefix="hook/", delimiter="/", **where) == ["hook/below/"]
    hook.copy_object("hook/one.txt", "hook/copy.txt", site.bucket, site.bucket)
    assert hook.read_key("hook/copy.txt", **where) == "one"
    assert Path(hook.download_file("hook/below/two.txt", site.bucket, str(tmp_path))).read_text() == "two"
    signed = hook.generate_presigned_url("get_object", {"Bucket": site.bucket, "Key": "hook/one.txt"})
    assert signed is not None
    assert signed.startswith(f"{site.endpoint_url}/{site.bucket}/hook/one.txt?")
    hook.delete_objects(site.bucket, ["hook/one.txt", "hook/copy.txt"])
    assert hook.list_keys(prefix="hook/", **where) == ["hook/below/two.txt"]
