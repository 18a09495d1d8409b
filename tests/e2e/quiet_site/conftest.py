"""One site for tests that run a model or two at a time: its models, cards that fail, and OpenLineage."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from stepbridge.cli.local_site.site import RunningSite
from tests.e2e.conftest import copy_project, site_of

EXITS_THREE = """\
import sys
print("reading the registry", flush=True)
print("no such licence server", file=sys.stderr, flush=True)
sys.exit(3)
"""
FAILING = """\
name: exits_three
description: A model whose preprocessing fails.
stages: [preprocessing]
input_uri: s3://{{ var.json.stepbridge.bucket }}/flights/{{ ds }}/
output_uri: s3://{{ var.json.stepbridge.bucket }}/predictions/exits_three/{{ ds }}/
retries: 0
"""
TWO_ROWS = """\
import time
from pathlib import Path

time.sleep(2)
Path("/opt/ml/processing/output/rows.csv").write_text("a,b\\n1,2\\n3,4\\n")
"""
GUARDED = """\
stages: [preprocessing]
scripts: scripts/rows
input_uri: s3://{{{{ var.json.stepbridge.bucket }}}}/guards/
output_uri: s3://{{{{ var.json.stepbridge.bucket }}}}/out/{name}/{{{{ run_id }}}}/
retries: 0
max_active_runs: 16
{more}
"""
GUARDS = {
    "expensive": "prices: {ml.m5.large: 0.115}\nmax_cost: 0.01",
    "pooled_a": "pool: narrow",
    "pooled_b": "pool: narrow",
}


@pytest.fixture(scope="package")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Beside the example: one model that fails, one card with an unknown key, one model that costs too much, and two
    that share a pool. OpenLineage writes to a file, by airflow.cfg."""
    project = copy_project(tmp_path_factory.mktemp("project"))
    models, scripts = project / "dags/models", project / "scripts"
    (models / "exits_three.yaml").write_text(FAILING)
    (models / "misspelt.yaml").write_text(FAILING.replace("exits_three", "misspelt") + "max_runtim: 60\n")
    for name, more in GUARDS.items():
        (models / f"{name}.yaml").write_text(GUARDED.format(name=name, more=more))
    for name, text in (("exits_three", EXITS_THREE), ("rows", TWO_ROWS)):
        (scripts / name).mkdir()
        (scripts / name / "preprocessing.py").write_text(text)
    transport = json.dumps({"type": "file", "log_file_path": str(project / "lineage.jsonl"), "append": True})
    home = project / ".stepbridge/airflow"
    home.mkdir(parents=True)
    (home / "airflow.cfg").write_text(f"[openlineage]\nnamespace = tests\ntransport = {transport}\n")
    return project


@pytest.fixture(scope="package")
def lineage_file(project: Path) -> Path:
    return project / "lineage.jsonl"


@pytest.fixture(scope="package")
def site(project: Path) -> Iterator[RunningSite]:
    """The site of ``project``, up for all tests of this folder."""
    with site_of(project) as running:
        yield running
