"""SIGTERM while an image is being built: a kill stops the build, a drained worker leaves it to what comes after."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from stepbridge.core.deployment import Deployment

from .airflow_runs import AirflowRuns, Failures, Run, marked_failed, restarting
from .fault_proxy import FaultProxy, states_through
from .tiny_model import DOCKERFILE, TinyModel

START, POLL = "StartBuild", "BatchGetBuilds"
PROJECT = """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "slow"
version = "1"
"""
BACKEND = """\
import time, zipfile

def build_wheel(folder, config_settings=None, metadata_directory=None):
    time.sleep({seconds})
    with zipfile.ZipFile(folder + "/slow-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr("slow-1.dist-info/METADATA", "Metadata-Version: 2.1\\nName: slow\\nVersion: 1\\n")
        wheel.writestr("slow-1.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("slow-1.dist-info/RECORD", "")
    return "slow-1-py3-none-any.whl"
"""


@pytest.fixture
def proxy(endpoint_url: str, monkeypatch: pytest.MonkeyPatch, airflow: AirflowRuns) -> Iterator[FaultProxy]:
    """CodeBuild through the proxy, everything else straight to the local AWS."""
    _ = airflow
    with FaultProxy(endpoint_url).running() as running:
        monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", states_through(running, endpoint_url, "codebuild"))
        yield running


@pytest.fixture(autouse=True)
def _own_sigterm() -> Iterator[None]:
    """Airflow's task runner takes over SIGTERM and keeps it; the test session gets it back."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def builds(session: Any, endpoint_url: str, deployment: Deployment, model: TinyModel) -> Callable[[], list[str]]:
    """The statuses of the model's builds."""
    client = session.client("codebuild", endpoint_url=endpoint_url)

    def statuses() -> list[str]:
        ids = client.list_builds_for_project(projectName=deployment.codebuild_project)["ids"]
        found = client.batch_get_builds(ids=ids[:100])["builds"]
        return [each["buildStatus"] for each in found if f"/{model.name}/" in each["source"]["location"]]

    return statuses


def takes(model: TinyModel, seconds: float) -> None:
    """Have the model's image take ``seconds`` more to be built."""
    package = model.context_folder / "package"
    package.mkdir()
    (package / "pyproject.toml").write_text(PROJECT)
    (package / "backend.py").write_text(BACKEND.format(seconds=seconds))
    (model.context_folder / "Dockerfile").write_text(
        DOCKERFILE.replace("ENTRYPOINT", "COPY package /package\nRUN pip install /package\nENTRYPOINT")
    )


def run(airflow: AirflowRuns, model: TinyModel, retries: int = 0) -> Run:
    failures = Failures()
    dag = model.dag(failures, retries=retries, stages=["inference"])
    dag.get_task("build_image").retry_policy = None  # which would wait
    return airflow.run(dag, failures)


@pytest.mark.parametrize("end", [marked_failed, pytest.param(restarting, marks=pytest.mark.long)])
@pytest.mark.parametrize("call", [START, POLL])
def test_a_kill_stops_the_build(
    airflow: AirflowRuns,
    model: TinyModel,
    proxy: FaultProxy,
    builds: Callable[[], list[str]],
    call: str,
    end: Callable[[str], None],
) -> None:
    """Marked as failed or cleared: while the build runs, and before CodeBuild has answered that it started."""
    takes(model, 45)
    killed: list[str] = []

    def kill(operation: str, _count: int) -> None:
        if operation == call and proxy.calls[START] and not killed:
            killed.append(operation)
            end("build_image")
            os.kill(os.getpid(), signal.SIGTERM)

    proxy.carried_out = kill
    ended = run(airflow, model)
    assert killed
    assert not ended.succeeded
    assert builds() == ["STOPPED"]
    assert proxy.calls["StopBuild"] == 1


def test_a_drained_worker_stops_no_build(
    airflow: AirflowRuns, model: TinyModel, proxy: FaultProxy, builds: Callable[[], list[str]]
) -> None:
    """SIGTERM at each kind of call, while Airflow has the task as running; then its process ends, and the next try
    adopts the build that goes on."""
    takes(model, 3)
    signalled: list[str] = []

    def fault_for(operation: str, _count: int) -> str:
        ends = operation == POLL and START in signalled and POLL not in signalled
        if operation not in signalled and (operation != POLL or START in signalled):
            signalled.append(operation)
            os.kill(os.getpid(), signal.SIGTERM)
        return "throttle" if ends else "pass"

    proxy.fault_for = fault_for
    ended = run(airflow, model, retries=1)
    assert ended.succeeded, ended.failures.by_task
    assert ended.tries["build_image"] == 2
    assert {START, POLL} <= set(signalled)
    assert (proxy.calls[START], proxy.calls["StopBuild"]) == (1, 0)
    assert builds() == ["SUCCEEDED"]
