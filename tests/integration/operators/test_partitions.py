"""A whole run in GovCloud and in China: their ARNs, accounts and domains differ from those of the other regions."""

from __future__ import annotations

import json
import re
import urllib.request
from pathlib import Path
from typing import Any

import boto3
import pytest

from stepbridge.deployment import StackDeployer
from stepbridge.links.addresses import execution_address

from .airflow_runs import AirflowRuns, Failures
from .conftest import CREDENTIALS, ROOT
from .test_permissions import enforced  # noqa: F401  a fixture
from .tiny_model import DOCKERFILE, write_tiny_model


@pytest.mark.long
@pytest.mark.usefixtures("enforced")
@pytest.mark.parametrize(
    ("region", "partition", "registry_domain", "console_domain"),
    [
        ("us-gov-west-1", "aws-us-gov", "amazonaws.com", "console.amazonaws-us-gov.com"),
        ("cn-north-1", "aws-cn", "amazonaws.com.cn", "console.amazonaws.cn"),
    ],
)
def test_a_model_runs_with_the_stack_s_own_roles(
    airflow: AirflowRuns,
    endpoint_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    region: str,
    partition: str,
    registry_domain: str,
    console_domain: str,
) -> None:
    """Deployed, built, three stages, report and links, with permissions enforced; no ARN is of another partition."""
    session = boto3.Session(**{**CREDENTIALS, "region_name": region})
    iam: Any = session.client("iam", endpoint_url=endpoint_url)
    user = iam.create_user(UserName="airflow")["User"]["Arn"]
    key = iam.create_access_key(UserName="airflow")["AccessKey"]
    parameters = {"AirflowPrincipalArn": user}
    deployer = StackDeployer(
        session, project_root=ROOT, say=lambda _: None, endpoint_url=endpoint_url, parameters=parameters
    )
    deployment = deployer.deploy()
    assert deployment.repository_uri.startswith(f"{deployment.account_id}.dkr.ecr.{region}.{registry_domain}/")
    assert f".dkr.ecr.{region}.{registry_domain}/" in deployment.scikit_image_uri
    extra = {
        "region_name": region,
        "endpoint_url": endpoint_url,
        "role_arn": f"arn:{partition}:iam::{deployment.account_id}:role/{deployment.stack_name}-{region}-airflow",
        "service_config": {"sts": {"endpoint_url": endpoint_url}},
    }
    keys = {"login": key["AccessKeyId"], "password": key["SecretAccessKey"]}
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps({"conn_type": "aws", **keys, "extra": extra}))
    monkeypatch.setenv("AIRFLOW_VAR_STEPBRIDGE", deployment.to_json())
    model = write_tiny_model(tmp_path, session.client("s3", endpoint_url=endpoint_url), deployment)
    dockerfile = DOCKERFILE.replace("python:3-slim", deployment.scikit_image_uri)  # the build logs in to its registry
    (model.context_folder / "Dockerfile").write_text(dockerfile)

    failures = Failures()
    run = airflow.run(model.dag(failures), failures)

    assert run.succeeded, failures.by_task
    report = run.xcom("wait_for_execution")
    assert (report["status"], [stage["status"] for stage in report["stages"]]) == ("SUCCEEDED", ["Completed"] * 3)
    assert run.xcom("build_image").startswith(f"{deployment.repository_uri}@sha256:")
    outputs = model.objects(model.output_uri())
    assert outputs["day.txt"] == f"raw\npreprocessing\ninference of {model.name}\npostprocessing\n"
    assert json.loads(outputs[f"_stepbridge/{report['execution_name']}.json"]) == report
    everything = json.dumps([deployment.model_dump(), *map(repr, run.xcoms.values())])
    assert set(re.findall(r"\barn:([\w-]*):", everything)) == {partition}
    links = {name: value for (_, name), value in run.xcoms.items() if name.startswith("_link_")}
    assert "_link_ExecutionLink" in links
    for link in links.values():
        with urllib.request.urlopen(link) as page:  # of the local AWS
            assert page.status == 200
    assert execution_address(report["execution_arn"]).startswith(f"https://{region}.{console_domain}/states/")
