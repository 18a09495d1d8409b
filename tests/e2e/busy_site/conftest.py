"""One site for many runs at once and for crashes: its models, and what asks a busy Airflow until it answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from stepbridge.cli.local_site.airflow_client import AirflowClient
from stepbridge.cli.local_site.local_aws import local_session
from stepbridge.cli.local_site.site import RunningSite
from tests.e2e.conftest import copy_project, site_of

NEW = [f"new_{number}" for number in range(10)]
"""Models whose image has to be built."""
SCRIPT = """\
import sys, time
from pathlib import Path

time.sleep(float(Path("/opt/ml/processing/input/seconds").read_text()))
Path("/opt/ml/processing/output/rows.csv").write_text("a,b\\n1,2\\n")
"""
TALKS = """\
import time
print("the first of them", flush=True)
time.sleep(5)
print("\\n".join(f"row {number}" for number in range(3000)), flush=True)
time.sleep(3000)
"""
CARD = """\
stages: [preprocessing]
scripts: scripts/rows
input_uri: s3://{{ var.json.stepbridge.bucket }}/seconds/short/
output_uri: s3://{{ var.json.stepbridge.bucket }}/out/{{ run_id }}/
retries: 1  # a busy machine: Airflow can take a late word of a deferral for a failure
max_active_runs: 30
"""
PREDICT = (
    "import shutil\nshutil.copytree('/opt/ml/processing/input', '/opt/ml/processing/output', dirs_exist_ok=True)\n"
)
CARDS = {
    "rows": "",
    "bounded": 'schedule: "30 2 * * *"\ntimezone: Asia/Tokyo\nstart_date: 2020-01-01\nend_date: 2020-12-31\n',
    "future": 'schedule: "@daily"\nstart_date: 2900-01-01\n',
    "unscheduled": "end_date: 2020-12-31\n",
    "long_run": "dagrun_timeout: 150\n",
}


@pytest.fixture(scope="package")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Beside the example: models of one short script, with bounds, and those whose image has to be built."""
    project = copy_project(tmp_path_factory.mktemp("project"))
    (project / "scripts/rows").mkdir()
    (project / "scripts/rows/preprocessing.py").write_text(SCRIPT)
    (project / "scripts/talks").mkdir()
    (project / "scripts/talks/preprocessing.py").write_text(TALKS)
    (project / "dags/models/talks.yaml").write_text(CARD.replace("scripts: scripts/rows\n", ""))
    for name, more in CARDS.items():
        text = CARD.replace("short/", "long/") if name == "long_run" else CARD
        (project / f"dags/models/{name}.yaml").write_text(text + more)
    for name in NEW:
        text = CARD.replace("stages: [preprocessing]", "stages: [inference]")
        (project / f"dags/models/{name}.yaml").write_text(text)
        (project / "containers" / name).mkdir()
        (project / "containers" / name / "predict.py").write_text(PREDICT + f"# {name}\n")
        dockerfile = 'FROM python:3-slim\nCOPY predict.py .\nENTRYPOINT ["python3", "/predict.py"]\n'
        (project / "containers" / name / "Dockerfile").write_text(dockerfile)
    return project


@pytest.fixture(scope="package")
def site(project: Path) -> Iterator[RunningSite]:
    """The site of ``project``, up for all tests of this folder."""
    with site_of(project) as running:
        yield running


@pytest.fixture(scope="package")
def airflow(site: RunningSite) -> Iterator[AirflowClient]:
    s3 = local_session().client("s3", endpoint_url=site.aws_endpoint_url)
    for name, seconds in (("short", b"0"), ("long", b"900")):
        s3.put_object(Bucket=site.stack().bucket, Key=f"seconds/{name}/seconds", Body=seconds)
    client = site.airflow()
    yield client
    client.close()
