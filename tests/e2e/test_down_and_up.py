"""``stepbridge down`` and ``up`` in the middle of runs: they go on and succeed, in whichever task they were."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from stepbridge.cli.local_site.airflow_client import AirflowClient
from stepbridge.cli.local_site.local_aws import local_session
from stepbridge.cli.local_site.site import RunningSite, SiteSettings, find_running_site
from tests.e2e.conftest import copy_project, until

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("down_and_up"), pytest.mark.timeout(1800)]

SCRIPT = """\
import time
from pathlib import Path

time.sleep({seconds})
Path("/opt/ml/processing/output/rows.csv").write_text("a,b\\n1,2\\n")
"""
CARD = """\
stages: [{stage}]
input_uri: s3://{{{{ var.json.stepbridge.bucket }}}}/{prefix}/
output_uri: s3://{{{{ var.json.stepbridge.bucket }}}}/out/{model}/{{{{ run_id }}}}/
"""
MODELS = ("slow", "built", "late", "uploading", "starting")
DOCKERFILE = """\
FROM python:3-slim
COPY predict.py /predict.py
ENTRYPOINT ["python3", "/predict.py"]
"""


@pytest.fixture(scope="module")
def down_and_up_project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project with a model for each task in which a run is interrupted; its site is down afterwards."""
    project = copy_project(tmp_path_factory.mktemp("project"))
    for card in (project / "dags/models").iterdir():
        card.unlink()
    for model in MODELS:
        stage, prefix = "inference" if model == "built" else "preprocessing", "late" if model == "late" else "in"
        card = CARD.format(stage=stage, prefix=prefix, model=model)
        wait = "wait_for_input: 900\n" if model == "late" else ""
        (project / f"dags/models/{model}.yaml").write_text(card + wait)
        (project / "scripts" / model).mkdir()
        script = SCRIPT.format(seconds=15 if model == "slow" else 0)
        (project / "scripts" / model / "preprocessing.py").write_text(script)
    (project / "containers/built").mkdir()
    (project / "containers/built/predict.py").write_text(SCRIPT.format(seconds=0))
    (project / "containers/built/Dockerfile").write_text(DOCKERFILE)
    (project / "containers/scikit_learn/Dockerfile").write_text('FROM python:3-slim\nENTRYPOINT ["python3"]\n')
    yield project
    stepbridge(project, "down")


def stepbridge(project: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "stepbridge.cli.main", *arguments]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def up(project: Path) -> RunningSite:
    stepbridge(project, "up", "--port", "0", "--aws-port", "0")
    site = find_running_site(SiteSettings(project, project / ".stepbridge"))
    assert site is not None
    return site


def states(airflow: AirflowClient, model: str) -> dict[str, str]:
    return {task["task_id"]: task["state"] for task in airflow.task_instances(model, "run")}


def in_the_middle_of(site: RunningSite, operation: str) -> Callable[[], bool]:
    """Have the next call of ``operation`` take long; the function tells whether it is on its way."""
    fault = {"fault": "latency", "name": operation, "operations": [operation], "seconds": 60, "times": 1}
    faults = f"{site.aws_endpoint_url}/_stepbridge/faults"
    assert httpx.post(faults, json=fault, timeout=30).is_success

    def called() -> bool:
        found = httpx.get(faults, timeout=30).json()["faults"]
        return any(each["name"] == operation and each["struck"] for each in found)

    return called


def test_runs_go_on(down_and_up_project: Path, leftovers: Callable[[Path], list[str]]) -> None:
    """Each in another task, two of them in the middle of a call. Nobody has to deploy, clear or trigger anything, and
    each run has one execution."""
    site = up(down_and_up_project)
    bucket = site.stack().bucket

    def put_input(site: RunningSite, key: str) -> None:
        s3 = local_session().client("s3", endpoint_url=site.aws_endpoint_url)
        s3.put_object(Bucket=bucket, Key=key, Body=b"a\n1\n")

    put_input(site, "in/day.csv")
    airflow = site.airflow()

    def begin(model: str) -> None:
        until(lambda: airflow.dag(model), f"the DAG {model}")
        airflow.unpause(model)
        airflow.trigger(model, "run", "2026-01-01T00:00:00Z")

    def reached(model: str, task_id: str, state: str) -> None:
        until(lambda: states(airflow, model).get(task_id) == state, f"{model}: {task_id} {state}")

    for model, operation in (("uploading", "s3:PutObject"), ("starting", "states:StartExecution")):
        called = in_the_middle_of(site, operation)
        begin(model)
        until(called, operation)
    for model in ("late", "slow"):
        begin(model)
    reached("late", "wait_for_input", "deferred")
    reached("slow", "wait_for_execution", "deferred")
    begin("built")
    reached("built", "build_image", "running")
    assert states(airflow, "uploading")["upload_scripts"] == "running"
    assert states(airflow, "starting")["start_execution"] == "running"
    airflow.close()
    stepbridge(down_and_up_project, "down")
    assert leftovers(down_and_up_project / ".stepbridge") == []
    site = up(down_and_up_project)
    put_input(site, "late/day.csv")
    airflow = site.airflow()
    for model in MODELS:
        until(lambda model=model: airflow.dag_run(model, "run")["state"] in ("success", "failed"), f"end of {model}")
        assert set(states(airflow, model).values()) == {"success"}, (model, states(airflow, model))
    airflow.close()
    machines = local_session().client("stepfunctions", endpoint_url=site.aws_endpoint_url)
    listed = machines.list_executions(stateMachineArn=site.stack().state_machine_arn)["executions"]
    assert sorted(each["name"].partition("-")[0] for each in listed) == sorted(MODELS)
    assert {each["status"] for each in listed} == {"SUCCEEDED"}


def test_an_image_that_cannot_be_had_ends_the_start(
    down_and_up_project: Path, leftovers: Callable[[Path], list[str]]
) -> None:
    """``up --base-image`` names what the scikit-learn image starts from; the error says why there is none."""
    command = [sys.executable, "-m", "stepbridge.cli.main", "up", "--port", "0", "--aws-port", "0", "--state", "other"]
    (down_and_up_project / "containers/scikit_learn/Dockerfile").write_text("ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\n")
    done = subprocess.run(
        [*command, "--base-image", "no-such-image:1"],
        cwd=down_and_up_project,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "scikit-learn image: Dockerfile: 1 problem" in done.stdout
    assert "no-such-image:1" in done.stdout
    assert leftovers(down_and_up_project / "other") == []
