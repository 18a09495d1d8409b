"""Runs the DAG ``dags/by_hand.py`` in an environment with a stepbridge from a wheel."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import boto3

from .environments import Environment

DOCKERFILE = 'FROM python:3-slim\nCOPY predict.py /app/predict.py\nENTRYPOINT ["python3", "/app/predict.py"]\n'
SCRIPT = """from pathlib import Path

for source in Path("/opt/ml/processing/input").glob("*.txt"):
    Path("/opt/ml/processing/output", source.name).write_text(source.read_text() + ".")
"""


def assert_a_hand_written_dag_succeeds(environment: Environment, local_aws: str, stack_name: str) -> None:
    """Deploy with the environment's command, run the DAG with its Airflow, and look at what the local AWS has of it."""
    deployed = environment.run(
        f"stepbridge deploy --project project --endpoint-url {local_aws} --stack-name {stack_name}"
    )
    deployment = json.loads(deployed)
    bucket, region = deployment["bucket"], deployment["region"]
    session = boto3.Session("local", "local", region_name=region)
    s3 = session.client("s3", endpoint_url=local_aws)
    s3.put_object(Bucket=bucket, Key="input/day.txt", Body=b"raw")

    extra = {"region_name": region, "endpoint_url": local_aws}
    connection = {"conn_type": "aws", "login": "local", "password": "local", "extra": extra}
    variables = {
        "AIRFLOW_VAR_STEPBRIDGE": deployed,
        "AIRFLOW_CONN_AWS_DEFAULT": json.dumps(connection),
        "MODEL_BUCKET": bucket,
        "MODEL_FOLDER": str(write_model(environment.home / "model", "container", "scripts")),
    }
    dags = environment.home / "airflow/dags"
    shutil.copytree(Path(__file__).with_name("dags"), dags, ignore=shutil.ignore_patterns("__pycache__"))
    environment.run("airflow db migrate")
    assert "run: success" in environment.run(["python", dags / "by_hand.py"], variables)

    step_functions = session.client("stepfunctions", endpoint_url=local_aws)
    (execution,) = step_functions.list_executions(stateMachineArn=deployment["state_machine_arn"])["executions"]
    assert execution["status"] == "SUCCEEDED"
    assert s3.get_object(Bucket=bucket, Key="output/day.txt")["Body"].read() == b"raw..."


def write_model(folder: Path, container: str, scripts: str) -> Path:
    """A model of three scripts, each of which appends a dot and needs the standard library only; returns ``folder``."""
    names = (f"{container}/predict.py", f"{scripts}/preprocessing.py", f"{scripts}/postprocessing.py")
    for name, text in {f"{container}/Dockerfile": DOCKERFILE, **dict.fromkeys(names, SCRIPT)}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder
