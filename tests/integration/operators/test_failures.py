"""Each failure ends in an error that a person can act on."""

from __future__ import annotations

import json
import pickle
import re
import socket
from typing import Any

import pytest

from stepbridge.core.run_report.failure_text import ExecutionFailedError
from stepbridge.errors import BrokenImageError, ConfigurationError, EndpointUnreachableError, FolderError
from stepbridge.sensors.errors import WaitTimeoutError

from .airflow_runs import AirflowRuns, Failures, Run
from .tiny_model import TinyModel


def failed_run(airflow: AirflowRuns, model: TinyModel, **dag: Any) -> tuple[Run, Failures]:
    failures = Failures()
    run = airflow.run(model.dag(failures, **dag), failures)
    assert not run.succeeded
    return run, failures


@pytest.mark.parametrize("deferrable", [True, pytest.param(False, marks=pytest.mark.long)])
def test_a_script_that_exits_3(airflow: AirflowRuns, model: TinyModel, deferrable: bool) -> None:
    """Stage, job, exit code and the script's last lines are in the error; later stages do not run."""
    model.script(
        "preprocessing", "import sys\nprint('reading')\nprint('no column dep_delay', file=sys.stderr)\nsys.exit(3)"
    )
    stages = ["preprocessing", "postprocessing"]
    run, failures = failed_run(airflow, model, stages=stages, wait={"deferrable": deferrable})
    error = failures.of("wait_for_execution")
    assert isinstance(error, ExecutionFailedError)
    text = str(error)
    report = run.xcom("wait_for_execution", "run_report")
    assert "stage: preprocessing" in text
    assert report["stages"][0]["job_name"] in text
    assert "AlgorithmError" in text
    assert "exit" in text
    assert "| no column dep_delay" in text
    assert [stage["stage"] for stage in report["stages"]] == ["preprocessing"]
    assert json.loads(model.objects(model.output_uri())[f"_stepbridge/{report['execution_name']}.json"]) == report
    assert str(pickle.loads(pickle.dumps(error))) == text


@pytest.mark.parametrize(
    "stages", [["preprocessing", "postprocessing"], pytest.param(["preprocessing"], marks=pytest.mark.long)]
)
def test_a_script_that_writes_no_output(airflow: AirflowRuns, model: TinyModel, stages: list[str]) -> None:
    """It is told as that stage's fault, with its log, its files and links, whichever stage comes after it."""
    model.script("preprocessing", "from pathlib import Path\nprint('writing')\nPath('wrong.csv').write_text('1')\n")
    run, failures = failed_run(airflow, model, stages=stages)
    text = str(failures.of("wait_for_execution"))
    report = run.xcom("wait_for_execution", "run_report")
    job = report["stages"][0]["job_name"]
    assert report["stages"][0]["status"] == "Completed"
    assert report["failure"] == text
    assert f"job: {job}" in text
    assert "    | writing" in text.splitlines()
    assert "output folder: /opt/ml/processing/output, which is empty" in text
    assert "working directory: /; the job made wrong.csv there" in text
    assert "preprocessing.py ended well and left no file in /opt/ml/processing/output" in text
    assert re.search(rf"job log: http\S+{job}", text)
    if len(stages) > 1:
        assert "at fault: preprocessing, which wrote nothing for postprocessing to read" in text
        assert "check input_uri" not in text


@pytest.mark.long
def test_a_container_that_writes_no_output(airflow: AirflowRuns, model: TinyModel) -> None:
    """The image's own working directory is named, and what went below /opt/ml by mistake."""
    program = (
        "import os\nos.makedirs('/opt/ml/processing/outputs')\nopen('/opt/ml/processing/outputs/p.csv', 'w').close()\n"
    )
    (model.context_folder / "predict.py").write_text(program)
    _, failures = failed_run(airflow, model, stages=["inference", "postprocessing"])
    text = str(failures.of("wait_for_execution"))
    assert "at fault: inference" in text
    assert "working directory: /app; the job made nothing there" in text
    assert "elsewhere: the job wrote /opt/ml/processing/outputs/p.csv" in text
    assert "predict.py, or whatever its image runs, ended well" in text


@pytest.mark.long
def test_a_file_that_an_earlier_stage_named_otherwise(airflow: AirflowRuns, model: TinyModel) -> None:
    """What lies in the stage's input is listed, and who wrote it."""
    model.script("postprocessing", "open('/opt/ml/processing/input/scores.csv')")
    _, failures = failed_run(airflow, model, stages=["preprocessing", "postprocessing"])
    assert re.search(r"its input, below s3://\S+/preprocessing: day.txt", str(failures.of("wait_for_execution")))


@pytest.mark.parametrize(
    ("stage", "file", "advice"),
    [
        ("preprocessing", "scripts/{m}/lib/helpers.py", "scripts/{m}/lib/helpers.py is a file of this project"),
        pytest.param(
            "preprocessing", "containers/{m}/helpers.py", "put it beside preprocessing.py", marks=pytest.mark.long
        ),
        pytest.param(
            "preprocessing",
            "shared/helpers/__init__.py",
            "shared/helpers/__init__.py is a file of this project",
            marks=pytest.mark.long,
        ),
        pytest.param(
            "preprocessing",
            "",
            "prebuilt scikit-learn image, into which nothing is installed",
            marks=pytest.mark.long,
        ),
        pytest.param(
            "inference",
            "containers/{m}/helpers.py",
            "COPY it beside predict.py and check .dockerignore",
            marks=pytest.mark.long,
        ),
        pytest.param(
            "inference",
            "",
            "add the package that has it to the container's requirements.txt",
            marks=pytest.mark.long,
        ),
    ],
)
def test_a_missing_module(airflow: AirflowRuns, model: TinyModel, stage: str, file: str, advice: str) -> None:
    """A file of the project is never told to be installed; a package is told where packages come from."""
    if file:
        path = model.root / file.format(m=model.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x = 1\n")
    program = "import helpers"
    if stage == "inference":
        (model.context_folder / "predict.py").write_text(program)
    else:
        model.script(stage, program)
    _, failures = failed_run(airflow, model, stages=[stage])
    remedy = str(failures.of("wait_for_execution")).partition("what to do: ")[2]
    assert advice.format(m=model.name) in remedy
    assert ("requirements.txt" in remedy) is (not file)


def test_an_input_that_does_not_exist(airflow: AirflowRuns, model: TinyModel) -> None:
    """The S3 URI that holds nothing is named, before anything is started."""
    _, failures = failed_run(
        airflow, model, input_uri=model.input_uri.replace("/input/", "/inptu/"), stages=["preprocessing"]
    )
    text = str(failures.of("start_execution"))
    assert "/inptu/" in text
    assert "nothing was started" in text


def test_a_job_past_its_maximum_runtime(airflow: AirflowRuns, model: TinyModel) -> None:
    """The job is stopped, not left running, and the error says what to raise."""
    model.script("preprocessing", "import time\nprint('asleep', flush=True)\ntime.sleep(600)")
    _, failures = failed_run(airflow, model, max_runtime=1, stages=["preprocessing"])
    text = str(failures.of("wait_for_execution"))
    assert "stage: preprocessing" in text
    assert "max_runtime" in text


@pytest.mark.parametrize(
    ("dockerfile", "cause", "advice"),
    [
        ("RUN apt-get install -y gfortran\n", "Dockerfile:2: RUN: the command `apt-get", "Docker"),
        ("RUN pip install no-such-distribution-a8f3\n", "no-such-distribution-a8f3", "check requirements.txt"),
        pytest.param("COPY nothing.txt .\n", "nothing.txt", "check the path and .dockerignore", marks=pytest.mark.long),
        pytest.param("HEALTHCHECK NONE\n", "Dockerfile:2", "correct what it names", marks=pytest.mark.long),
    ],
)
def test_an_image_that_cannot_be_built(
    airflow: AirflowRuns, model: TinyModel, dockerfile: str, cause: str, advice: str
) -> None:
    """The cause stands first, without the buildspec's lines; it is not tried again, and nothing is started."""
    (model.context_folder / "Dockerfile").write_text(f"FROM python:3-slim\n{dockerfile}")
    failures = Failures()
    dag = model.dag(failures, retries=2)
    run = airflow.run(dag, failures)
    error = failures.of("build_image")
    assert isinstance(error, BrokenImageError), error
    first = str(error).splitlines()[0]
    assert cause in first.partition(" (FAILED in phase BUILD with exit code 1)")[0]
    assert advice in str(error)
    assert "set -eu" not in str(error)
    assert "subprocess" not in str(error)
    assert run.tries["build_image"] == 1
    assert run.states["start_execution"] == "upstream_failed"


def test_a_missing_dockerfile(airflow: AirflowRuns, model: TinyModel) -> None:
    """The path that was looked for is named."""
    (model.context_folder / "Dockerfile").unlink()
    _, failures = failed_run(airflow, model)
    assert isinstance(failures.of("build_image"), FolderError)
    assert "Dockerfile: no such file" in str(failures.of("build_image"))


def test_a_missing_script(airflow: AirflowRuns, model: TinyModel) -> None:
    """The stage's script is named, with what the folder holds instead."""
    (model.scripts_folder / "preprocessing.py").rename(model.scripts_folder / "prep.py")
    _, failures = failed_run(airflow, model)
    assert "no preprocessing.py (it holds postprocessing.py, prep.py)" in str(failures.of("upload_scripts"))


def test_no_deployment(airflow: AirflowRuns, model: TinyModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the Variable, the error names the two commands that set it."""
    monkeypatch.delenv("AIRFLOW_VAR_STEPBRIDGE")
    _, failures = failed_run(airflow, model)
    error = failures.of("build_image")
    assert isinstance(error, ConfigurationError)
    assert "stepbridge deploy" in str(error)
    assert "airflow variables set stepbridge" in str(error)


def connect(monkeypatch: pytest.MonkeyPatch, **extra: Any) -> None:
    connection = {"conn_type": "aws", "login": "local-key", "password": "local-secret-key"}
    monkeypatch.setenv(
        "AIRFLOW_CONN_AWS_DEFAULT", json.dumps(connection | {"extra": {"region_name": "us-east-1", **extra}})
    )


def test_a_connection_that_leads_to_aws_itself(
    airflow: AirflowRuns, model: TinyModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A local deployment never reaches for a real account."""
    connect(monkeypatch)
    _, failures = failed_run(airflow, model)
    assert "it leads to AWS itself" in str(failures.of("build_image"))


def test_an_endpoint_that_does_not_answer(
    airflow: AirflowRuns, model: TinyModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error has the address and what to start."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{unused.getsockname()[1]}"
        connect(monkeypatch, endpoint_url=endpoint, config_kwargs={"retries": {"total_max_attempts": 1}})
        _, failures = failed_run(airflow, model)
    error = failures.of("build_image")
    assert isinstance(error, EndpointUnreachableError)
    assert endpoint in str(error)
    assert "stepbridge local up" in str(error)


def test_a_wait_past_its_deadline_stops_the_execution(
    airflow: AirflowRuns, model: TinyModel, session: Any, endpoint_url: str
) -> None:
    """The job does not run on after nobody waits for it."""
    model.script("preprocessing", "import time\ntime.sleep(600)")
    run, failures = failed_run(airflow, model, stages=["preprocessing"], wait={"deferrable": False, "timeout": 3.0})
    assert isinstance(failures.of("wait_for_execution"), WaitTimeoutError)
    machines = session.client("stepfunctions", endpoint_url=endpoint_url)
    execution = machines.describe_execution(executionArn=run.xcom("start_execution"))
    assert execution["status"] == "ABORTED"
    assert "did not end within 3.0 s" in execution["cause"]
