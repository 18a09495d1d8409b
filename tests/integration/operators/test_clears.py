"""What a clear of the run, of the start or of the wait does, after a script, the data or the image has changed."""

from __future__ import annotations

from typing import Any

import pytest

from stepbridge.core.run_report.failure_text import ExecutionFailedError
from stepbridge.operators.run_tasks import TasksNotClearedError

from .airflow_runs import AirflowRuns, Failures, Run
from .tiny_model import TinyModel

START, WAIT = "start_execution", "wait_for_execution"
REFUSES_BAD_DATA = """
import sys
from pathlib import Path
text = Path("/opt/ml/processing/input/day.txt").read_text()
if "bad" in text:
    sys.exit(3)
Path("/opt/ml/processing/output/day.txt").write_text(text)
"""
BROKEN = "import sys\nsys.exit(3)\n"


def put_input(model: TinyModel, text: str) -> None:
    model.s3.put_object(Bucket=model.bucket, Key=f"input/{model.name}/day.txt", Body=text.encode())


def execution(machines: Any, run: Run) -> dict[str, Any]:
    described: dict[str, Any] = machines.describe_execution(executionArn=run.xcom(START))
    return described


def count(machines: Any, model: TinyModel, arn: str) -> int:
    """How many executions the model has."""
    machine = arn.replace(":execution:", ":stateMachine:").rpartition(":")[0]
    listed = machines.list_executions(stateMachineArn=machine)["executions"]
    return sum(item["name"].startswith(f"{model.name}-") for item in listed)


def failed_run(airflow: AirflowRuns, model: TinyModel, **params: Any) -> tuple[Any, Run]:
    """A run whose preprocessing has refused its data."""
    model.script("preprocessing", REFUSES_BAD_DATA)
    put_input(model, "bad")
    failures = Failures()
    dag = model.dag(failures, **{"stages": ["preprocessing"], **params})
    run = airflow.run(dag, failures)
    assert isinstance(failures.of(WAIT), ExecutionFailedError)
    return dag, run


@pytest.mark.long
def test_a_cleared_run_starts_anew_with_repaired_data(airflow: AirflowRuns, model: TinyModel, machines: Any) -> None:
    """The object has the same key, so only a new execution reads it in every stage."""
    dag, first = failed_run(airflow, model)
    put_input(model, "good")
    second = airflow.cleared(dag, first)
    assert second.succeeded, second.failures.by_task
    assert second.xcom(START) != first.xcom(START)
    assert execution(machines, first)["redriveCount"] == 0
    assert model.objects(model.output_uri())["day.txt"] == "good"


@pytest.mark.long
def test_a_cleared_run_has_the_mended_script(airflow: AirflowRuns, model: TinyModel, machines: Any) -> None:
    """Uploaded anew, since its task was cleared, too; after a success as after a failure."""
    model.script("preprocessing", BROKEN)
    failures = Failures()
    dag = model.dag(failures, stages=["preprocessing"])
    first = airflow.run(dag, failures)
    model.script("preprocessing", REFUSES_BAD_DATA)
    second = airflow.cleared(dag, first)
    third = airflow.cleared(dag, second)
    assert (first.succeeded, second.succeeded, third.succeeded) == (False, True, True)
    assert count(machines, model, third.xcom(START)) == 3


@pytest.mark.long
def test_a_cleared_start_starts_anew(airflow: AirflowRuns, model: TinyModel, machines: Any) -> None:
    """With the scripts that were uploaded before, if they are still those of the folder; also after a success."""
    dag, first = failed_run(airflow, model)
    put_input(model, "good")
    second = airflow.cleared(dag, first, START, WAIT)
    third = airflow.cleared(dag, second, START, WAIT)
    assert second.succeeded
    assert third.succeeded
    assert len({run.xcom(START) for run in (first, second, third)}) == 3
    assert count(machines, model, third.xcom(START)) == 3


@pytest.mark.long
def test_a_start_that_was_cleared_without_its_wait_starts_nothing(
    airflow: AirflowRuns, model: TinyModel, machines: Any
) -> None:
    """Nobody would report it: the text names all that has to be cleared."""
    dag, first = failed_run(airflow, model)
    second = airflow.cleared(dag, first, START)
    error = second.failures.of(START)
    assert isinstance(error, TasksNotClearedError)
    assert "wait_for_execution was not cleared: it is failed" in str(error)
    assert str(error).endswith("clear build_image, upload_scripts, start_execution and wait_for_execution")
    assert count(machines, model, first.xcom(START)) == 1


def test_a_cleared_wait_redrives_once(airflow: AirflowRuns, model: TinyModel, machines: Any) -> None:
    """One redrive for each clear, whether it helps or not."""
    dag, first = failed_run(airflow, model)
    still_bad = airflow.cleared(dag, first, WAIT)
    assert not still_bad.succeeded
    assert execution(machines, first)["redriveCount"] == 1
    put_input(model, "good")
    assert airflow.cleared(dag, still_bad, WAIT).succeeded
    assert execution(machines, first)["redriveCount"] == 2
    assert count(machines, model, first.xcom(START)) == 1


@pytest.mark.parametrize("cleared", [(WAIT,), pytest.param((START, WAIT), marks=pytest.mark.long)])
@pytest.mark.parametrize(
    "stages", [["preprocessing"], pytest.param(["preprocessing", "postprocessing"], marks=pytest.mark.long)]
)
def test_a_mended_script_that_was_not_uploaded_is_told(
    airflow: AirflowRuns, model: TinyModel, machines: Any, cleared: tuple[str, ...], stages: list[str]
) -> None:
    """The red box is the wait: people mend the script and clear that, or the start."""
    dag, first = failed_run(airflow, model, stages=stages)
    model.script(stages[-1], "print('mended')")
    second = airflow.cleared(dag, first, *cleared)
    error = second.failures.of(cleared[0])
    assert isinstance(error, TasksNotClearedError)
    assert "the files of upload_scripts are no longer those of" in str(error)
    assert "clear build_image, upload_scripts, start_execution and wait_for_execution" in str(error)
    assert execution(machines, first)["redriveCount"] == 0
    assert count(machines, model, first.xcom(START)) == 1
    put_input(model, "good")
    third = airflow.cleared(dag, second, "upload_scripts", START, WAIT)
    assert third.failures.of(WAIT).__class__.__name__ == "EmptyOutputError" or third.succeeded
    assert count(machines, model, first.xcom(START)) == 2


@pytest.mark.long
@pytest.mark.parametrize("cleared", [(WAIT,), (START, WAIT)])
def test_a_changed_image_that_was_not_built_is_told(
    airflow: AirflowRuns, model: TinyModel, machines: Any, cleared: tuple[str, ...]
) -> None:
    """A run with inference alone: its image is compared, and the scripts, which it does not use, are not."""
    (model.context_folder / "predict.py").write_text(BROKEN)
    failures = Failures()
    dag = model.dag(failures, stages=["inference"])
    first = airflow.run(dag, failures)
    assert isinstance(failures.of(WAIT), ExecutionFailedError)
    (model.context_folder / "predict.py").write_text(REFUSES_BAD_DATA)
    model.script("preprocessing", "print('of no use here')")
    second = airflow.cleared(dag, first, *cleared)
    error = second.failures.of(cleared[0])
    assert isinstance(error, TasksNotClearedError)
    assert "the files of build_image are no longer those of" in str(error)
    assert execution(machines, first)["redriveCount"] == 0
    third = airflow.cleared(dag, second, "build_image", START, WAIT)
    assert third.succeeded, third.failures.by_task
    assert count(machines, model, first.xcom(START)) == 2
