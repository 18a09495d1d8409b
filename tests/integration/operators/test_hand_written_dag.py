"""The DAG of docs/hand-written-dags.md, as it stands there, run to SUCCEEDED."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import boto3
import pytest

import stepbridge.operators
import stepbridge.sensors
from stepbridge.core.deployment import Deployment

from .airflow_runs import AirflowRuns, Failures
from .tiny_model import DOCKERFILE, SCRIPT

PAGE = Path(__file__).parents[3] / "docs" / "hand-written-dags.md"
STAGES = ("preprocessing", "inference", "postprocessing")


def written_project(root: Path) -> ModuleType:
    """The project of the page below ``root``, with the page's DAG file imported."""
    [code] = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    container, scripts = root / "containers" / "scores", root / "scripts" / "scores"
    for folder in (container, scripts, root / "dags"):
        folder.mkdir(parents=True)
    (container / "Dockerfile").write_text(DOCKERFILE)
    for stage, path in zip(STAGES, (scripts, container, scripts), strict=True):
        name = "predict" if stage == "inference" else stage
        (path / f"{name}.py").write_text(SCRIPT.format(stage=stage))
    file = root / "dags" / "scores.py"
    file.write_text(code)
    spec = importlib.util.spec_from_file_location("hand_written_scores", file)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_dag_of_the_page_succeeds(
    airflow: AirflowRuns, deployment: Deployment, session: boto3.Session, endpoint_url: str, tmp_path: Path
) -> None:
    """All three stages run, the output is there, and the task after the sensor gets the run report."""
    s3: Any = session.client("s3", endpoint_url=endpoint_url)
    s3.put_object(Bucket=deployment.bucket, Key="input/scores/2026-02-03/day.txt", Body=b"raw\n")
    dag = written_project(tmp_path).dag
    run = airflow.run(dag, Failures(), logical_date=datetime(2026, 2, 3, 3, tzinfo=UTC))
    assert run.states == dict.fromkeys(dag.task_ids, "success")
    report = run.xcom("wait_for_execution")
    assert report["status"] == "SUCCEEDED"
    assert [stage["stage"] for stage in report["stages"]] == list(STAGES)
    output = s3.get_object(Bucket=deployment.bucket, Key="output/scores/2026-02-03/day.txt")["Body"].read().decode()
    assert output == "raw\n" + "".join(f"{stage}\n" for stage in STAGES)


@pytest.mark.parametrize("package", [stepbridge.operators, stepbridge.sensors])
def test_public_names_have_docstrings(package: ModuleType) -> None:
    """What ``__all__`` promises is there and says what it does."""
    assert all(getattr(package, name).__doc__ for name in package.__all__)
    with pytest.raises(AttributeError):
        package.NoSuchOperator  # noqa: B018


def test_a_dag_file_imports_no_client_of_aws() -> None:
    """Parsing stays light: boto3 and the Amazon provider are imported when a task runs."""
    program = (
        "import sys\n"
        "from stepbridge.operators import BuildImageOperator, StartExecutionOperator, UploadScriptsOperator\n"
        "from stepbridge.sensors import ExecutionSensor, InputSensor\n"
        "print([name for name in ('boto3', 'airflow.providers.amazon.aws.hooks.base_aws') if name in sys.modules])\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=240)
    assert ran.stdout.splitlines()[-1] == "[]", ran.stdout
