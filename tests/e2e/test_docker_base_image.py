"""``up`` and ``demo`` with the Docker runtime and a base image that the engine has, where no registry can be had."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from stepbridge.cli.local_site.site import SiteSettings, find_running_site
from stepbridge_local.runtimes.docker import find_engine
from tests.e2e.conftest import copy_project

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("docker site"), pytest.mark.timeout(900)]

TEST_BASE, BASE_IMAGE = "stepbridge-test-base", "stepbridge-e2e-base"
NOWHERE = "127.0.0.1:9/no/such/base:1"
DOCKERFILE = f'ARG BASE_IMAGE={NOWHERE}\nFROM ${{BASE_IMAGE}}\nCOPY . /app\nENTRYPOINT ["python", "/app/predict.py"]\n'
CARD = """\
stages: [preprocessing, inference]
params:
  day: ["2013-07-01"]
input_uri: s3://{{ var.json.stepbridge.bucket }}/flights/{{ params.day }}/
output_uri: s3://{{ var.json.stepbridge.bucket }}/predictions/{{ params.day }}/
"""
FLIGHT_DATA = """\
import pathlib, sys
folder = pathlib.Path(sys.argv[2])
folder.mkdir(parents=True, exist_ok=True)
(folder / "flights.csv").write_text("carrier,flight\\nUA,1545\\n")
"""
PREPROCESSING = """\
import shutil
shutil.copytree("/opt/ml/processing/input", "/opt/ml/processing/output", dirs_exist_ok=True)
"""
PREDICT = """\
import csv, json, pathlib
ml = pathlib.Path("/opt/ml/processing")
[row] = csv.DictReader((ml / "input/flights.csv").open())
names = "rank carrier flight origin dest predicted_delay actual_delay outcome".split()
values = [1, row["carrier"], row["flight"], "EWR", "IAH", 2.0, 11.0, "late"]
with (ml / "output/predictions.csv").open("w") as file:
    csv.writer(file).writerows([names, values])
(ml / "output/summary.json").write_text(json.dumps({"flights": 1}))
"""


@pytest.fixture(scope="module")
def base_image() -> str:
    """One with ``python`` on the engine; skips with the reason where there is none to be had."""
    engine = find_engine()
    if engine is None:
        pytest.skip("no Docker engine answers (DOCKER_HOST or the default socket); .ci/docker-engine starts one")
    if not engine.images.list(name=TEST_BASE):
        pytest.skip(f"the engine holds no image {TEST_BASE}; .ci/docker-engine makes it with debootstrap")
    network = None if engine.networks.list(names=["bridge"]) else "host"
    text = f"FROM {TEST_BASE}\nRUN ln -s /usr/bin/python3 /usr/local/bin/python\n"
    engine.images.build(fileobj=io.BytesIO(text.encode()), tag=BASE_IMAGE, network_mode=network, rm=True)
    return BASE_IMAGE


@pytest.fixture
def docker_project(tmp_path: Path) -> Path:
    """The example's model without packages; beside it one whose base image is nowhere, and needs no BASE_IMAGE."""
    project = copy_project(tmp_path / "project")
    container, other = project / "containers/flight_delay", project / "containers/stranded"
    for file in container.iterdir():
        file.unlink()
    for file, text in {"Dockerfile": DOCKERFILE, "predict.py": PREDICT, "flight_data.py": FLIGHT_DATA}.items():
        (container / file).write_text(text)
    other.mkdir()
    (other / "Dockerfile").write_text(f"FROM {NOWHERE}\n")
    (project / "dags/models/flight_delay.yaml").write_text(CARD)
    (project / "scripts/flight_delay/preprocessing.py").write_text(PREPROCESSING)
    prebuilt = "ARG BASE_IMAGE=127.0.0.1:9/no/such/python:3\nFROM ${BASE_IMAGE}\n"
    (project / "containers/scikit_learn/Dockerfile").write_text(prebuilt)
    return project


def stepbridge(project: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "stepbridge.cli.main", *arguments]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=800, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def assert_what_is_missing_is_said_first(text: str, project: Path) -> None:
    """Before Airflow starts: the model's Dockerfile and its image, and no other's; both came from the base image."""
    before, started, _ = text.partition("Airflow: starting scheduler")
    assert started, text
    [line] = [line for line in before.splitlines() if "the Docker engine has no image" in line]
    assert f"Image: {project}/containers/stranded/Dockerfile: the Docker engine has no image {NOWHERE} and" in line
    assert "--base-image" in line
    assert "Image: scikit-learn container ready" in before


def test_the_demo_runs_on_a_base_image(docker_project: Path, base_image: str) -> None:
    """Both containers start from it, and the predictions are shown."""
    options = ("--runtime", "docker", "--base-image", base_image, "--port", "0", "--aws-port", "0")
    text = stepbridge(docker_project, "demo", *options)
    assert_what_is_missing_is_said_first(text, docker_project)
    assert "The first 1 of 1 predictions" in text
    assert "No comparison with the scripts run by hand: that needs --runtime process" in text


def test_up_starts_on_a_base_image(
    docker_project: Path, base_image: str, leftovers: Callable[[Path], list[str]]
) -> None:
    """What no engine can have is named by then, and the site comes up without it."""
    options = ("--runtime", "docker", "--base-image", base_image, "--port", "0", "--aws-port", "0")
    try:
        text = stepbridge(docker_project, "up", *options)
        assert_what_is_missing_is_said_first(text, docker_project)
        assert find_running_site(SiteSettings.of(docker_project)) is not None
    finally:
        stepbridge(docker_project, "down")
    assert leftovers(docker_project / ".stepbridge") == []
