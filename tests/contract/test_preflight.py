"""`stepbridge preflight`: what a run would fail at is found before it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import boto3
import pytest
import typer
from typer.testing import CliRunner, Result

from stepbridge.cli.local_site.site import RunningSite, SiteSettings, lock_state, record_site
from stepbridge.cli.preflight import preflight
from stepbridge.core.deployment import Deployment
from stepbridge.deployment import StackDeployer
from stepbridge_local.testing import LocalAwsProcess

ROOT = Path(__file__).parents[2]
STACK = "preflight"
DOCKERFILE = 'FROM python:3.11\nCOPY predict.py /app/\nENTRYPOINT ["python", "/app/predict.py"]\n'
IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"


@pytest.fixture(scope="module")
def deployed(local_aws: LocalAwsProcess) -> Deployment:
    session = boto3.Session(aws_access_key_id="local", aws_secret_access_key="local", region_name="us-east-1")
    return StackDeployer(
        session,
        project_root=ROOT,
        say=lambda _line: None,
        endpoint_url=local_aws.endpoint_url,
        stack_name=STACK,
        scikit_image=lambda _region: IMAGE,
    ).deploy()


@pytest.fixture
def project(tmp_path: Path, deployed: Deployment, local_aws: LocalAwsProcess) -> Path:
    """A model with all that it needs, its input too."""
    cards, scripts = tmp_path / "dags/models", tmp_path / "scripts/tiny"
    cards.mkdir(parents=True)
    scripts.mkdir(parents=True)
    (cards / "tiny.yaml").write_text(
        f"input_uri: s3://{deployed.bucket}/in/\noutput_uri: s3://{deployed.bucket}/out/{{{{ ds }}}}/\n"
    )
    for stage in ("preprocessing", "postprocessing"):
        (scripts / f"{stage}.py").write_text("print()\n")
    (tmp_path / "containers/tiny").mkdir(parents=True)
    (tmp_path / "containers/tiny/Dockerfile").write_text(DOCKERFILE)
    (tmp_path / "containers/tiny/predict.py").write_text("print()\n")
    local_aws.client("s3").put_object(Bucket=deployed.bucket, Key="in/x.csv", Body=b"x\n")
    return tmp_path


def run(project: Path, local_aws: LocalAwsProcess, *options: str, model: str = "tiny") -> Result:
    app = typer.Typer()
    app.command()(preflight)
    arguments = [model, "--project", str(project), "--endpoint-url", local_aws.endpoint_url, "--region", "us-east-1"]
    return CliRunner().invoke(app, [*arguments, "--stack-name", STACK, *options])


def test_a_model_that_can_run(project: Path, local_aws: LocalAwsProcess) -> None:
    """Files, stack, input, output and every permission of the stack's own roles."""
    result = run(project, local_aws)
    assert result.exit_code == 0, result.output
    assert "✘" not in result.output
    assert "tiny: nothing is missing" in result.output
    assert "that the stages need are there" in result.output


def test_what_is_missing_is_told_all_at_once(project: Path, local_aws: LocalAwsProcess) -> None:
    """A script, the input, and a bucket that the processing role may not read, with the statement to add."""
    (project / "scripts/tiny/postprocessing.py").unlink()
    local_aws.client("s3").create_bucket(Bucket="of-another-team")
    card = project / "dags/models/tiny.yaml"
    card.write_text("input_uri: s3://of-another-team/in/\noutput_uri: s3://of-another-team/out/\n")
    result = run(project, local_aws)
    assert result.exit_code == 1
    assert "✘ scripts/tiny/postprocessing.py: add it" in result.output
    assert "✘ input: there is nothing below s3://of-another-team/in/" in result.output
    statement = '{"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::of-another-team"}'
    assert f"add {statement}" in result.output


def test_a_statement_that_somebody_took_away(project: Path, local_aws: LocalAwsProcess, deployed: Deployment) -> None:
    """The state machine's role may no longer pass the processing role; the condition is in the statement too."""
    iam: Any = local_aws.client("iam")
    machine = local_aws.client("stepfunctions").describe_state_machine(stateMachineArn=deployed.state_machine_arn)
    role = machine["roleArn"].rpartition("/")[2]
    policy = iam.get_role_policy(RoleName=role, PolicyName="run-stages")
    document = policy["PolicyDocument"]
    kept = [one for one in document["Statement"] if one["Action"] != "iam:PassRole"]
    iam.put_role_policy(
        RoleName=role, PolicyName="run-stages", PolicyDocument=json.dumps({**document, "Statement": kept})
    )
    result = run(project, local_aws)
    iam.put_role_policy(RoleName=role, PolicyName="run-stages", PolicyDocument=json.dumps(document))
    assert result.exit_code == 1
    assert f'"Action": "iam:PassRole", "Resource": "{deployed.processing_role_arn}"' in result.output
    assert '"iam:PassedToService": "sagemaker.amazonaws.com"' in result.output
    assert result.output.count("✘") == 1


def test_a_stack_that_is_not_there(project: Path, local_aws: LocalAwsProcess) -> None:
    """The command that makes it is told."""
    result = run(project, local_aws, "--stack-name", "nowhere")
    assert result.exit_code == 1
    assert "stepbridge deploy --stack-name nowhere" in result.output


def test_a_model_that_nobody_knows(project: Path, local_aws: LocalAwsProcess) -> None:
    """The models that there are are named."""
    assert "one of tiny" in str(run(project, local_aws, model="tinny").exception)


def test_a_pool_is_not_to_be_seen_from_here(project: Path, local_aws: LocalAwsProcess) -> None:
    """Airflow alone knows it, and would leave a run without it waiting for ever: the commands are told."""
    card = project / "dags/models/tiny.yaml"
    card.write_text(card.read_text() + "pool: gpu\npool_slots: 2\n")
    result = run(project, local_aws)
    assert result.exit_code == 0, result.output
    assert "pool gpu: `airflow pools get gpu`" in result.output
    assert "--include-deferred" in result.output


@pytest.mark.parametrize(
    ("file", "content", "found"),
    [
        ("scripts/tiny/preprocessing.py", "print(\n", "✘ scripts/tiny/preprocessing.py: line 1: '(' was never closed"),
        ("scripts/tiny/of_the_project.py", "def f(:\n", "✘ scripts/tiny/of_the_project.py: line 1: "),
        ("containers/tiny/predict.py", "x = = 1\n", "✘ containers/tiny/predict.py: line 1: invalid syntax"),
        (
            "containers/tiny/Dockerfile",
            DOCKERFILE.replace("COPY", "COPY weights.bin"),
            "✘ containers/tiny/Dockerfile: Dockerfile:2: COPY: weights.bin",
        ),
        (
            "containers/tiny/Dockerfile",
            DOCKERFILE.replace("COPY predict.py", "COPY requirements.txt") + "\n",
            "✘ containers/tiny/Dockerfile: Dockerfile:2: COPY: requirements.txt",
        ),
        (
            "containers/tiny/Dockerfile",
            DOCKERFILE.replace("/app/predict.py", "/app/predictt.py"),
            "✘ containers/tiny/Dockerfile: Dockerfile: it starts /app/predictt.py and copies no file of that name",
        ),
        ("containers/tiny/Dockerfile", "COPY predict.py /app/\n", "✘ containers/tiny/Dockerfile: Dockerfile:1"),
        (
            "containers/tiny/Dockerfile",
            DOCKERFILE + "RUN apt-get install -y libgomp1\n",
            "? containers/tiny/Dockerfile: not with the process runtime of the local AWS: Dockerfile:4: RUN",
        ),
        (
            "containers/tiny/Dockerfile",
            DOCKERFILE + "ADD https://example.com/weights.bin /app/\n",
            "? containers/tiny/Dockerfile: not with the process runtime of the local AWS: Dockerfile:4: ADD",
        ),
        (
            "dags/models/tiny.yaml",
            "input_uri: s3://bucket/{{ ds /in/\noutput_uri: s3://bucket/out/{{ ds }}/\n",
            "✘ template s3://bucket/{{ ds /in/: ",
        ),
        (
            "dags/models/tiny.yaml",
            "input_uri: s3://bucket/{{ ds | nodots }}/in/\noutput_uri: s3://bucket/out/{{ ds }}/\n",
            "No filter named 'nodots'",
        ),
        (
            "dags/models/tiny.yaml",
            "input_uri: s3://bucket/in/\noutput_uri: s3://bucket/out/{{ dss }}/\nenvironment: {DAY: '{{ day }}'}\n",
            "✘ template {{ day }}: Airflow knows no day",
        ),
    ],
)
def test_what_is_broken_in_the_project_s_files(
    project: Path, local_aws: LocalAwsProcess, file: str, content: str, found: str
) -> None:
    """Templates, scripts, Dockerfile and what it copies and starts: found by reading, before anything runs."""
    (project / file).write_text(content)
    result = run(project, local_aws)
    assert found in result.output
    assert result.exit_code == (0 if found.startswith("?") else 1)


def test_a_predict_py_that_is_missing(project: Path, local_aws: LocalAwsProcess) -> None:
    """The Dockerfile copies it, or the whole folder, and starts it."""
    (project / "containers/tiny/predict.py").unlink()
    for copied in ("predict.py", "."):
        (project / "containers/tiny/Dockerfile").write_text(DOCKERFILE.replace("COPY predict.py", f"COPY {copied}"))
        result = run(project, local_aws)
        assert result.exit_code == 1
        assert "predict.py" in next(line for line in result.output.splitlines() if line.startswith("✘"))


def test_beside_a_running_site_nothing_has_to_be_named(
    project: Path, local_aws: LocalAwsProcess, deployed: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The site of the project says where its local AWS is; a line says that it is meant."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    settings = SiteSettings.of(project)
    endpoint = local_aws.endpoint_url
    app = typer.Typer()
    app.command()(preflight)
    with lock_state(settings):
        record_site(settings, RunningSite(os.getpid(), "http://", endpoint, "admin", "", deployed.to_json()))
        result = CliRunner().invoke(app, ["tiny", "--project", str(project), "--stack-name", STACK])
    assert result.exit_code == 0, result.output
    assert f"On the local site that is running: {endpoint}" in result.output
