"""A real local AWS in a process of its own, the stack deployed to it, and a real Airflow that runs DAGs in process."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import botocore.session
import pytest

from stepbridge.core.deployment import Deployment
from stepbridge.deployment import StackDeployer
from stepbridge_local.testing import LocalAwsProcess

from .airflow_runs import AirflowRuns
from .fault_proxy import FaultProxy, connection_through
from .tiny_model import TinyModel, write_tiny_model
from .trigger_runs import WAITING, Start

ROOT = Path(__file__).parents[3]
CREDENTIALS = {
    "aws_access_key_id": "local-key",
    "aws_secret_access_key": "local-secret-key",
    "region_name": "us-east-1",
}
SCIKIT_LEARN = 'FROM python:3-slim\nENTRYPOINT ["python3"]\n'


@pytest.fixture(scope="session", autouse=True)
def _service_descriptions_are_read_once() -> Iterator[None]:
    """Each task makes a session of its own, as in a worker's process, and would read them from disk again."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.session, "create_loader", cache(botocore.session.create_loader))
        yield


@pytest.fixture(scope="session")
def endpoint_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The local AWS's address; its log is printed when it does not come up."""
    folder = tmp_path_factory.mktemp("local-aws")
    image = folder / "scikit_learn"
    image.mkdir()
    (image / "Dockerfile").write_text(SCIKIT_LEARN)
    process = LocalAwsProcess(folder / "data", ("--scikit-learn", str(image)))
    with pytest.MonkeyPatch.context() as patch:
        for name in [*os.environ]:
            if name.startswith(("AWS_", "AIRFLOW_")):
                patch.delenv(name)
        process.start()
    yield process.endpoint_url
    process.stop()


@pytest.fixture(scope="session")
def session() -> boto3.Session:
    """A boto3 session beside the operators', to look at what they did."""
    return boto3.Session(**CREDENTIALS)


@pytest.fixture(scope="session")
def deployment(session: boto3.Session, endpoint_url: str) -> Deployment:
    """The project's own stack, deployed as `stepbridge deploy` does."""
    lines: list[str] = []
    return StackDeployer(session, project_root=ROOT, say=lines.append, endpoint_url=endpoint_url).deploy()


@pytest.fixture(scope="session")
def airflow_database() -> None:
    """Airflow's tables, in the session's own home."""
    from airflow.utils.db import initdb

    initdb()


@pytest.fixture
def airflow(
    airflow_database: None, deployment: Deployment, endpoint_url: str, monkeypatch: pytest.MonkeyPatch
) -> AirflowRuns:
    """Airflow with aws_default leading to the local AWS, and the deployment as its Variable."""
    _ = airflow_database
    connection = {
        "conn_type": "aws",
        "login": CREDENTIALS["aws_access_key_id"],
        "password": CREDENTIALS["aws_secret_access_key"],
        "extra": {"region_name": CREDENTIALS["region_name"], "endpoint_url": endpoint_url},
    }
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps(connection))
    monkeypatch.setenv("AIRFLOW_VAR_STEPBRIDGE", deployment.to_json())
    return AirflowRuns()


@pytest.fixture
def model(tmp_path: Path, session: boto3.Session, deployment: Deployment, endpoint_url: str) -> TinyModel:
    """A model of a few lines, with its input in S3, under a name of its own."""
    s3 = session.client("s3", endpoint_url=endpoint_url)
    return write_tiny_model(tmp_path, s3, deployment)


@pytest.fixture(scope="module")
def machines(session: Any, endpoint_url: str) -> Any:
    return session.client("stepfunctions", endpoint_url=endpoint_url)


@pytest.fixture
def machine(machines: Any, deployment: Deployment) -> str:
    """A state machine of its own whose executions only wait."""
    role = deployment.processing_role_arn
    return str(
        machines.create_state_machine(name=f"w-{uuid.uuid4().hex}", definition=WAITING, roleArn=role)["stateMachineArn"]
    )


@pytest.fixture
def start(machines: Any, machine: str) -> Start:
    def started(seconds: float) -> str:
        answer = machines.start_execution(stateMachineArn=machine, input=json.dumps({"seconds": seconds}))
        return str(answer["executionArn"])

    return started


@pytest.fixture
def proxy(endpoint_url: str, monkeypatch: pytest.MonkeyPatch, airflow: object) -> Iterator[FaultProxy]:
    """Step Functions through the proxy; everything else goes to the local AWS as before."""
    _ = airflow
    with FaultProxy(endpoint_url).running() as running:
        monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", connection_through(running))
        yield running
