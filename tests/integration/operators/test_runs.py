"""The operators and the sensor, from DAG run to predictions, against the local AWS."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime

import boto3
import pytest

from stepbridge.core.deployment import Deployment

from .airflow_runs import AirflowRuns, Failures
from .tiny_model import TinyModel

ALL_STAGES = ["preprocessing", "inference", "postprocessing"]


@pytest.mark.parametrize("deferrable", [True, pytest.param(False, marks=pytest.mark.long)])
def test_a_run_ends_with_outputs_and_a_report(
    airflow: AirflowRuns, model: TinyModel, deployment: Deployment, deferrable: bool
) -> None:
    """Three stages in order, the report as XCom and beside the outputs, in the triggerer's and the worker's wait."""
    failures = Failures()
    run = airflow.run(model.dag(failures, wait={"deferrable": deferrable}), failures)
    assert run.succeeded, failures.by_task
    report = run.xcom("wait_for_execution")
    outputs = model.objects(model.output_uri())
    assert outputs["day.txt"] == f"raw\npreprocessing\ninference of {model.name}\npostprocessing\n"
    assert report["status"] == "SUCCEEDED"
    assert [(stage["stage"], stage["status"]) for stage in report["stages"]] == [
        (stage, "Completed") for stage in ALL_STAGES
    ]
    assert json.loads(outputs[f"_stepbridge/{report['execution_name']}.json"]) == report
    image = run.xcom("build_image")
    assert re.fullmatch(re.escape(deployment.repository_uri) + "@sha256:[0-9a-f]{64}", image)
    assert report["input"]["custom_image_uri"] == image
    assert report["execution_arn"] == run.xcom("start_execution")
    assert run.xcom("wait_for_execution", "_link_JobLogsLink").count(report["stages"][-1]["job_name"]) == 1
    assert run.xcom("start_execution", "_link_ExecutionLink")


def test_nothing_is_built_or_uploaded_twice(
    airflow: AirflowRuns, model: TinyModel, session: boto3.Session, endpoint_url: str
) -> None:
    """The second run finds image and scripts by their digests; a changed script is uploaded under another prefix."""
    failures = Failures()
    dag = model.dag(failures)
    first = airflow.run(dag, failures)
    builds = session.client("codebuild", endpoint_url=endpoint_url)
    before = builds.list_builds()["ids"]
    second = airflow.run(dag, failures)
    assert first.succeeded
    assert second.succeeded
    assert builds.list_builds()["ids"] == before
    for task_id in ("build_image", "upload_scripts"):
        assert second.xcom(task_id) == first.xcom(task_id)
    assert second.xcom("start_execution") != first.xcom("start_execution")
    model.script("postprocessing", (model.scripts_folder / "postprocessing.py").read_text() + "# another\n")
    third = airflow.run(dag, failures)
    assert third.succeeded
    assert third.xcom("build_image") == first.xcom("build_image")
    assert third.xcom("upload_scripts") != first.xcom("upload_scripts")


@pytest.mark.long
def test_a_subset_of_the_stages_runs_alone(airflow: AirflowRuns, model: TinyModel) -> None:
    """The form's stages decide; what no stage needs is neither built nor uploaded."""
    failures = Failures()
    dag = model.dag(failures)
    run = airflow.run(dag, failures, stages=["preprocessing"])
    assert run.succeeded, failures.by_task
    assert run.xcom("build_image") is None
    assert model.objects(model.output_uri())["day.txt"] == "raw\npreprocessing\n"
    run = airflow.run(dag, failures, stages=["inference"])
    assert run.succeeded, failures.by_task
    assert run.xcom("upload_scripts") is None
    assert model.objects(model.output_uri())["day.txt"] == f"raw\ninference of {model.name}\n"


def test_the_card_s_templates_are_rendered_with_the_run_s_dates(airflow: AirflowRuns, model: TinyModel) -> None:
    """Parameters hold Jinja expressions until the task runs."""
    failures = Failures()
    dag = model.dag(failures, stages=["preprocessing"], output_uri=model.output_uri("/{{ ds }}"))
    run = airflow.run(dag, failures, logical_date=datetime(2013, 6, 3, tzinfo=UTC))
    assert run.succeeded, failures.by_task
    assert "day.txt" in model.objects(model.output_uri("/2013-06-03"))


def test_a_template_of_dates_in_a_run_without_dates_is_a_clear_error(airflow: AirflowRuns, model: TinyModel) -> None:
    """`{{ ds }}` has no value in a run without a logical date."""
    failures = Failures()
    run = airflow.run(model.dag(failures, stages=["preprocessing"], output_uri=model.output_uri("/{{ ds }}")), failures)
    text = str(failures.of("start_execution"))
    assert not run.succeeded
    assert "output_uri: " in text
    assert "this run has no logical date" in text
    assert "trigger the DAG with a logical date" in text


def test_all_wrong_values_of_the_form_are_told_at_once(airflow: AirflowRuns, model: TinyModel) -> None:
    """Nothing is started with an input that AWS would refuse."""
    failures = Failures()
    wrong = {"volume_size": 0, "max_runtime": 10**7, "instance_type": "m5", "input_uri": "/data"}
    run = airflow.run(model.dag(failures, stages=["preprocessing"]), failures, **wrong)
    text = str(failures.of("start_execution"))
    assert not run.succeeded
    assert all(key in text for key in wrong)
    assert "4 problems" in text
