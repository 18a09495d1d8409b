"""``stepbridge down`` and ``up`` in the middle of a run: it goes on and succeeds, in whichever task it was."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stepbridge.cli.local_site.airflow_client import AirflowClient
from stepbridge.cli.local_site.local_aws import local_session
from stepbridge.cli.local_site.site import RunningSite, SiteSettings, find_running_site
from tests.e2e.conftest import copy_project, until

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("down_and_up"), pytest.mark.timeout(900)]

SCRIPT = """\
import time
from pathlib import Path

time.sleep({seconds})
Path("/opt/ml/processing/output/rows.csv").write_text("a,b\\n1,2\\n")
"""
CARD = """\
stages: [{stage}]
input_uri: s3://{{{{ var.json.stepbridge.bucket }}}}/in/
output_uri: s3://{{{{ var.json.stepbridge.bucket }}}}/out/{model}/{{{{ run_id }}}}/
"""
DOCKERFILE = """\
FROM python:3-slim
COPY predict.py /predict.py
ENTRYPOINT ["python3", "/predict.py"]
"""


@pytest.fixture(scope="module")
def down_and_up_project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project with a model whose job takes its time and one whose build does; its site is down afterwards."""
    project = copy_project(tmp_path_factory.mktemp("project"))
    for card in (project / "dags/models").iterdir():
        card.unlink()
    (project / "dags/models/slow.yaml").write_text(CARD.format(stage="preprocessing", model="slow"))
    (project / "dags/models/built.yaml").write_text(CARD.format(stage="inference", model="built"))
    (project / "scripts/slow").mkdir()
    (project / "scripts/slow/preprocessing.py").write_text(SCRIPT.format(seconds=15))
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


@pytest.mark.parametrize(
    ("model", "task_id", "state"),
    [("slow", "wait_for_execution", "deferred"), ("built", "build_image", "running")],
)
def test_a_run_goes_on(
    down_and_up_project: Path, leftovers: Callable[[Path], list[str]], model: str, task_id: str, state: str
) -> None:
    """Nobody has to deploy, clear or trigger anything."""
    site = up(down_and_up_project)
    s3 = local_session().client("s3", endpoint_url=site.aws_endpoint_url)
    s3.put_object(Bucket=site.stack().bucket, Key="in/day.csv", Body=b"a\n1\n")
    airflow = site.airflow()
    until(lambda: airflow.dag(model), "the DAG")
    airflow.unpause(model)
    airflow.trigger(model, "run", "2026-01-01T00:00:00Z")
    until(lambda: states(airflow, model).get(task_id) == state, f"{task_id} {state}")
    airflow.close()
    stepbridge(down_and_up_project, "down")
    assert leftovers(down_and_up_project / ".stepbridge") == []
    airflow = up(down_and_up_project).airflow()
    until(lambda: airflow.dag_run(model, "run")["state"] in ("success", "failed"), f"{states(airflow, model)}")
    assert set(states(airflow, model).values()) == {"success"}
    airflow.close()


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
