"""What is said of a run whose tasks have to be cleared."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG

from stepbridge.operators import BuildImageOperator, StartExecutionOperator, UploadScriptsOperator
from stepbridge.operators.run_tasks import RunTasks
from stepbridge.sensors import ExecutionSensor

ALL = "build_image, upload_scripts, start_execution and wait_for_execution"


@pytest.mark.parametrize(
    ("bundle", "advice"),
    [
        (None, f"clear {ALL}"),
        (SimpleNamespace(version=None), f"clear {ALL}"),  # a local folder: the files are always the latest
        (SimpleNamespace(version="1f3870b"), f"clear {ALL}, with 'Run with latest bundle version'"),
    ],
)
def test_the_advice_names_every_task_and_the_latest_version_of_a_bundle(bundle: Any, advice: str) -> None:
    """Airflow runs a cleared task with the version of the bundle that the run began with, unless it is told so."""
    with DAG("d", schedule=None):
        build = BuildImageOperator(task_id="build_image", model="m", context_folder="/x")
        upload = UploadScriptsOperator(task_id="upload_scripts", model="m", scripts_folder="/x")
        start = StartExecutionOperator(
            task_id="start_execution", model="m", image_uri=build.output, code_uri=upload.output
        )
        wait = ExecutionSensor(task_id="wait_for_execution", execution_arn=start.output)
    for task in (start, wait):
        context: Any = {"ti": SimpleNamespace(bundle_instance=bundle), "task": task}
        tasks = RunTasks(context, "m")
        assert tasks.advice() == advice
        assert tasks.reuse("image", None) == f"it uses image; for a fresh run {advice}"
