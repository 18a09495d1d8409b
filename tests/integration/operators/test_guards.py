"""What keeps a run from starting too early, too dear or side by side, against the local AWS."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from airflow.sdk import DAG

from stepbridge.core.names import STAGES
from stepbridge.operators.approve_cost import CostApprovalOperator
from stepbridge.operators.execution_starter import InputNotFoundError
from stepbridge.operators.start_execution import StartExecutionOperator
from stepbridge.operators.upload_scripts import UploadScriptsOperator
from stepbridge.sensors.errors import InputCheckError
from stepbridge.sensors.execution import ExecutionSensor
from stepbridge.sensors.input import InputSensor

from .airflow_runs import AirflowRuns, Failures
from .test_starts import executions_of
from .tiny_model import TinyModel


def waiting_dag(
    model: TinyModel, failures: Failures, sensor: type[InputSensor] = InputSensor, retries: int = 0, **arguments: Any
) -> DAG:
    """A DAG of the wait alone."""
    defaults = {"on_failure_callback": failures, "on_retry_callback": failures, "retries": retries, "retry_delay": 0}
    params = {"input_uri": "s3://{{ var.json.stepbridge.bucket }}/late/{{ params.name }}/", "name": model.name}
    with DAG(f"{model.name}-wait-{len(arguments)}", schedule=None, params=params, default_args=defaults) as dag:
        sensor(task_id="wait_for_input", model=model.name, **arguments)
    return dag


def put_later(model: TinyModel, seconds: float, key: str) -> threading.Timer:
    timer = threading.Timer(seconds, model.s3.put_object, kwargs={"Bucket": model.bucket, "Key": key, "Body": b"late"})
    timer.start()
    return timer


def test_without_input_nothing_is_started_and_nothing_is_tried_again(
    airflow: AirflowRuns,
    model: TinyModel,
    machines: Any,
    deployment: Any,
) -> None:
    """The empty mark of a folder is no input."""
    uri = f"s3://{model.bucket}/none/{model.name}/"
    model.s3.put_object(Bucket=model.bucket, Key=f"none/{model.name}/", Body=b"")
    failures = Failures()
    run = airflow.run(model.dag(failures, retries=2, stages=["preprocessing"], input_uri=uri), failures)
    error = failures.of("start_execution")
    assert isinstance(error, InputNotFoundError)
    assert uri in str(error)
    assert "wait_for_input" in str(error)
    assert run.tries["start_execution"] == 1
    stands_for_all = f"{deployment.state_machine_arn.replace(':stateMachine:', ':execution:')}:any"
    assert executions_of(machines, stands_for_all, model) == []


def test_input_is_what_begins_like_the_uri(airflow: AirflowRuns, model: TinyModel) -> None:
    """As SageMaker's S3Prefix means it, with a folder's mark in front and no slash at the end."""
    model.s3.put_object(Bucket=model.bucket, Key=f"input/{model.name}/", Body=b"")
    failures = Failures()
    prefix = f"s3://{model.bucket}/input/{model.name}"
    run = airflow.run(model.dag(failures, stages=["preprocessing"], input_uri=prefix), failures)
    assert run.states["start_execution"] == "success", failures.by_task


@pytest.mark.long
def test_what_was_started_is_redriven_without_a_look_at_its_input(airflow: AirflowRuns, model: TinyModel) -> None:
    """The stages that finished have read it; that it is gone since keeps nobody from going on."""
    model.script("postprocessing", "import sys\nsys.exit(3)")
    failures = Failures()
    dag = model.dag(failures, stages=["preprocessing", "postprocessing"])
    run = airflow.run(dag, failures)
    assert not run.succeeded
    model.s3.delete_object(Bucket=model.bucket, Key=f"input/{model.name}/day.txt")
    again = airflow.cleared(dag, run, "wait_for_execution")
    assert again.xcom("start_execution") == run.xcom("start_execution")
    assert again.xcom("wait_for_execution", "run_report")["redrive_count"] == 1, failures.by_task


def test_late_input_is_waited_for(airflow: AirflowRuns, model: TinyModel) -> None:
    """The template is rendered as the start renders it, and the URI is the result."""
    timer = put_later(model, 3, f"late/{model.name}/day.csv")
    failures = Failures()
    run = airflow.run(waiting_dag(model, failures, timeout=120), failures)
    timer.join()
    assert run.succeeded, failures.by_task
    assert run.xcom("wait_for_input") == f"s3://{model.bucket}/late/{model.name}/"
    assert f"/_stepbridge/buckets/{model.bucket}?prefix=late%2F{model.name}%2F" in run.xcom(
        "wait_for_input", "_link_ObjectsLink"
    )


@pytest.mark.long
def test_a_worker_can_wait_itself(airflow: AirflowRuns, model: TinyModel) -> None:
    """Without a triggerer."""
    timer = put_later(model, 2, f"late/{model.name}/day.csv")
    failures = Failures()
    run = airflow.run(waiting_dag(model, failures, timeout=120, deferrable=False), failures)
    timer.join()
    assert run.succeeded, failures.by_task
    assert run.xcom("wait_for_input") == f"s3://{model.bucket}/late/{model.name}/"


@pytest.mark.parametrize("deferrable", [True, pytest.param(False, marks=pytest.mark.long)])
def test_input_that_does_not_come_fails_the_wait_for_good(
    airflow: AirflowRuns, model: TinyModel, deferrable: bool
) -> None:
    """Past its deadline, and without a retry."""
    failures = Failures()
    run = airflow.run(waiting_dag(model, failures, retries=3, timeout=2, deferrable=deferrable), failures)
    error = failures.of("wait_for_input")
    assert isinstance(error, InputNotFoundError)
    assert "in the 2 s that this task waited" in str(error)
    assert run.tries["wait_for_input"] == 1


class DyingInputSensor(InputSensor):
    """Its worker dies the first time that it is taken up again."""

    deferrals = 0

    def defer(self, **kwargs: Any) -> Any:
        type(self).deferrals += 1
        super().defer(**kwargs)

    def resume(self, context: Any, event: dict[str, Any]) -> Any:
        if context["ti"].try_number == 1:
            raise RuntimeError("the worker died")
        return super().resume(context, event)


@pytest.mark.long
def test_the_deadline_is_kept_over_a_retry(airflow: AirflowRuns, model: TinyModel) -> None:
    """The second try finds the deadline past and does not wait again."""
    DyingInputSensor.deferrals = 0
    failures = Failures()
    run = airflow.run(waiting_dag(model, failures, DyingInputSensor, retries=3, timeout=3), failures)
    assert isinstance(failures.of("wait_for_input"), InputNotFoundError)
    assert run.tries["wait_for_input"] == 2
    assert DyingInputSensor.deferrals == 1


@pytest.mark.long
def test_a_clear_begins_a_new_wait(airflow: AirflowRuns, model: TinyModel) -> None:
    """And what has come meanwhile is found."""
    failures = Failures()
    dag = waiting_dag(model, failures, timeout=1)
    run = airflow.run(dag, failures)
    assert not run.succeeded
    timer = put_later(model, 0.5, f"late/{model.name}/day.csv")
    assert airflow.cleared(dag, run).succeeded
    timer.join()


@pytest.mark.long
def test_a_form_s_template_is_confined_in_the_wait_too(airflow: AirflowRuns, model: TinyModel) -> None:
    """The same rendering as the start's: no Variable but the deployment."""
    failures = Failures()
    run = airflow.run(
        waiting_dag(model, failures, timeout=5), failures, input_uri="s3://b/{{ var.value.secret }}/", name="any"
    )
    assert not run.succeeded
    assert "for a value from the form, which may use" in str(failures.of("wait_for_input"))


def test_a_bucket_that_is_not_there_ends_the_wait_at_once(airflow: AirflowRuns, model: TinyModel) -> None:
    """No data will come into it."""
    failures = Failures()
    parameters = {"input_uri": "s3://no-such-bucket-anywhere/in/"}
    run = airflow.run(waiting_dag(model, failures, timeout=3600, parameters=parameters), failures)
    assert not run.succeeded
    assert "NoSuchBucket" in str(failures.of("wait_for_input"))


def cost_dag(model: TinyModel, failures: Failures, **arguments: Any) -> DAG:
    params = {"stages": list(STAGES), "instance_type": "ml.m5.large", "max_runtime": 3600}
    with DAG(f"{model.name}-cost", schedule=None, params=params, default_args={"on_failure_callback": failures}) as dag:
        CostApprovalOperator(task_id="approve_cost", model=model.name, **arguments)
    return dag


def test_a_run_within_its_limit_asks_nobody(
    airflow: AirflowRuns, model: TinyModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the prices of the Variable."""
    monkeypatch.setenv("AIRFLOW_VAR_STEPBRIDGE_PRICES", '{"ml.m5.large": 0.1}')
    failures = Failures()
    run = airflow.run(cost_dag(model, failures, max_cost=0.3), failures)
    assert run.succeeded, failures.by_task


def test_prices_that_cannot_be_read_fail_the_guard(
    airflow: AirflowRuns, model: TinyModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A guard that does not know must not let anything pass."""
    monkeypatch.setenv("AIRFLOW_VAR_STEPBRIDGE_PRICES", '{"ml.m5.large": "cheap"}')
    failures = Failures()
    run = airflow.run(cost_dag(model, failures, max_cost=0.3), failures)
    assert not run.succeeded
    assert "stepbridge_prices" in str(failures.of("approve_cost"))


def test_a_start_that_holds_its_slot_ends_with_the_execution(
    airflow: AirflowRuns, model: TinyModel, session: Any, endpoint_url: str
) -> None:
    """Its task is deferred until then, and the wait finds an execution that has ended."""
    failures = Failures()
    values = {
        "input_uri": model.input_uri, "output_uri": model.output_uri(), "instance_type": "ml.m5.large",
        "volume_size": 5, "max_runtime": 600, "stages": ["preprocessing"],
    }  # fmt: skip
    arguments = {"on_failure_callback": failures}
    with DAG(f"{model.name}-held", schedule=None, params=values, default_args=arguments) as dag:
        code = UploadScriptsOperator(task_id="upload_scripts", model=model.name, scripts_folder=model.scripts_folder)
        start = StartExecutionOperator(
            task_id="start_execution", model=model.name, image_uri=None, code_uri=code.output, hold_until_end=True
        )
        ExecutionSensor(task_id="wait_for_execution", model=model.name, execution_arn=start.output)
    run = airflow.run(dag, failures)
    assert run.succeeded, failures.by_task
    client = session.client("stepfunctions", endpoint_url=endpoint_url)
    stopped = client.describe_execution(executionArn=run.xcom("start_execution"))["stopDate"]
    instances = {instance.task_id: instance for instance in run.run.get_task_instances()}
    assert instances["start_execution"].end_date >= stopped
    assert run.xcom("wait_for_execution")["status"] == "SUCCEEDED"


def test_the_texts_of_the_guards_survive_pickling() -> None:
    """Airflow hands exceptions between processes."""
    import pickle

    for kind in (InputNotFoundError, InputCheckError):
        error = kind("where", "found", "expected", "remedy")
        assert str(pickle.loads(pickle.dumps(error))) == str(error)
