"""Each failure ends in an error that a person can act on."""

from __future__ import annotations

import json
import pickle
import socket
from typing import Any

import pytest

from stepbridge.errors import ConfigurationError, EndpointUnreachableError, FolderError, ImageBuildError
from stepbridge.sensors.errors import ExecutionFailedError, WaitTimeoutError

from .airflow_runs import AirflowRuns, Failures, Run
from .tiny_model import TinyModel


def failed_run(airflow: AirflowRuns, model: TinyModel, **dag: Any) -> tuple[Run, Failures]:
    failures = Failures()
    run = airflow.run(model.dag(failures, **dag), failures)
    assert not run.succeeded
    return run, failures


@pytest.mark.parametrize("deferrable", [True, False])
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


def test_a_script_that_writes_no_output(airflow: AirflowRuns, model: TinyModel) -> None:
    """The next stage finds no input, and says so."""
    model.script("preprocessing", "print('nothing to do')")
    run, failures = failed_run(airflow, model, stages=["preprocessing", "postprocessing"])
    text = str(failures.of("wait_for_execution"))
    assert "stage: postprocessing" in text
    assert "ClientError" in text
    assert run.xcom("wait_for_execution", "run_report")["stages"][0]["status"] == "Completed"


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


def test_a_dockerfile_that_cannot_be_honoured(airflow: AirflowRuns, model: TinyModel) -> None:
    """The build's own words and the phase are in the error; nothing is started."""
    dockerfile = model.context_folder / "Dockerfile"
    dockerfile.write_text("FROM python:3-slim\nRUN apt-get install -y gfortran\nCOPY predict.py .\n")
    run, failures = failed_run(airflow, model)
    error = failures.of("build_image")
    assert isinstance(error, ImageBuildError)
    assert "in phase BUILD" in str(error)
    assert "Dockerfile:2" in str(error)
    assert "RUN" in str(error)
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
