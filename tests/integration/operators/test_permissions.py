"""The operators with permissions enforced, as a role that has the stack's Airflow policy and nothing else."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from airflow.sdk import DAG

from stepbridge.core.deployment import Deployment
from stepbridge.sensors.errors import InputCheckError
from stepbridge.sensors.input import InputSensor

from .airflow_runs import AirflowRuns, Failures
from .tiny_model import TinyModel


@pytest.fixture
def enforced(endpoint_url: str) -> Iterator[None]:
    """Permissions count during the test."""
    url = f"{endpoint_url}/_stepbridge/faults"
    headers = {"Content-Type": "application/json"}
    urllib.request.urlopen(urllib.request.Request(url, b'{"fault": "iam"}', headers, method="POST")).close()
    yield
    urllib.request.urlopen(urllib.request.Request(f"{url}/iam", method="DELETE")).close()


@pytest.fixture(scope="module")
def worker_role(session: boto3.Session, deployment: Deployment, endpoint_url: str) -> dict[str, Any]:
    """The Airflow connection of a user that assumes a role with the stack's policy."""
    iam = session.client("iam", endpoint_url=endpoint_url)
    user = iam.create_user(UserName="airflow-worker")["User"]["Arn"]
    key = iam.create_access_key(UserName="airflow-worker")["AccessKey"]
    statement = {"Effect": "Allow", "Principal": {"AWS": user}, "Action": "sts:AssumeRole"}
    trust = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    role = iam.create_role(RoleName="airflow-worker", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    name = f"{deployment.stack_name}-{deployment.region}-airflow"
    policy = f"arn:aws:iam::{deployment.account_id}:policy/{name}"
    iam.attach_role_policy(RoleName="airflow-worker", PolicyArn=policy)
    # The provider asks STS elsewhere than the other services, unless it is configured.
    sts = {"sts": {"endpoint_url": endpoint_url}}
    extra = {"region_name": deployment.region, "endpoint_url": endpoint_url, "role_arn": role, "service_config": sts}
    return {
        "conn_type": "aws",
        "login": key["AccessKeyId"],
        "password": key["SecretAccessKey"],
        "extra": extra,
    }


@pytest.mark.usefixtures("enforced")
def test_a_model_runs_with_the_airflow_policy(
    airflow: AirflowRuns, model: TinyModel, worker_role: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Image built, scripts uploaded, three stages, report: nothing beyond the policy of the stack is needed."""
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps(worker_role))
    failures = Failures()
    run = airflow.run(model.dag(failures), failures)
    assert run.succeeded, failures.by_task
    assert run.xcom("wait_for_execution")["status"] == "SUCCEEDED"


@pytest.fixture
def unlisted_bucket(session: boto3.Session, endpoint_url: str) -> str:
    """A bucket of another team, which no role of the stack may list."""
    s3 = session.client("s3", endpoint_url=endpoint_url)
    s3.create_bucket(Bucket="of-another-team")
    s3.put_object(Bucket="of-another-team", Key="in/day.txt", Body=b"raw\n")
    return "of-another-team"


@pytest.mark.usefixtures("enforced")
@pytest.mark.long
def test_input_that_cannot_be_listed(
    airflow: AirflowRuns,
    model: TinyModel,
    worker_role: dict[str, Any],
    unlisted_bucket: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A start goes on, since the jobs' role may see more; a wait ends at once with the statement that is missing."""
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps(worker_role))
    uri = f"s3://{unlisted_bucket}/in/"
    failures = Failures()
    started = airflow.run(model.dag(failures, stages=["preprocessing"], input_uri=uri), failures)
    assert started.states["start_execution"] == "success", failures.by_task
    defaults = {"on_failure_callback": failures, "retries": 2, "retry_delay": 0}
    with DAG(f"{model.name}-denied", schedule=None, params={"input_uri": uri}, default_args=defaults) as dag:
        InputSensor(task_id="wait_for_input", model=model.name, timeout=3600)
    waited = airflow.run(dag, failures)
    error = failures.of("wait_for_input")
    assert isinstance(error, InputCheckError)
    assert f'"Action": "s3:ListBucket", "Resource": "arn:aws:s3:::{unlisted_bucket}"' in str(error)
    assert waited.tries["wait_for_input"] == 1
