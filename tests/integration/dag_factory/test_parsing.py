"""What parsing dags/models.py costs, and that Airflow can store and read back what it gives."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.serialization.serialized_objects import DagSerialization

from stepbridge.core.fields import FORM_KEYS

LIGHT_SECONDS = 0.5

TIMED = """
import json, runpy, sys, time
started = time.process_time()
from airflow.sdk import DAG
airflow = time.process_time()
runpy.run_path(sys.argv[1])
ended = time.process_time()
heavy = [name for name in ("boto3", "aiobotocore", "sagemaker", "moto", "pandas") if name in sys.modules]
print(json.dumps({"airflow": airflow - started, "loader": ended - airflow, "heavy": heavy}))
"""


def timed(path: Path) -> dict[str, float | list[str]]:
    """Processor time, in seconds, of Airflow's own import and of the loader with all its DAGs, in a new process."""
    done = subprocess.run(
        [sys.executable, "-c", TIMED, str(path)],
        env=os.environ,
        capture_output=True,
        text=True,
        check=True,
        timeout=240,
    )
    result: dict[str, float | list[str]] = json.loads(done.stdout.splitlines()[-1])
    return result


@pytest.mark.long
def test_the_loader_adds_at_most_half_a_second_to_airflows_own_import(project: Path) -> None:
    """In processor time, the best of three, since other work on the machine only adds; no client library is loaded."""
    runs = [timed(project / "dags/models.py") for _ in range(3)]
    assert min(run["loader"] for run in runs) < LIGHT_SECONDS, runs
    assert [run["heavy"] for run in runs] == [[], [], []]


def test_the_projects_dags_load_without_error_and_survive_serialization(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What Airflow's page reads back from its database holds the form, the schedule and the four tasks."""
    monkeypatch.setenv("AIRFLOW__CORE__LOAD_EXAMPLES", "False")
    bag = DagBag(str(project / "dags"))
    assert bag.import_errors == {}
    stored = json.loads(json.dumps(DagSerialization.to_dict(bag.dags["flight_delay"])))
    read = DagSerialization.from_dict(stored)
    assert list(read.params) == [*FORM_KEYS, "day"]
    day = "{{ params.day if dag_run.run_type == 'manual' else local_ds }}"
    assert read.params["input_uri"] == f"s3://{{{{ var.json.stepbridge.bucket }}}}/flights/{day}/"
    assert sorted(read.task_ids) == ["build_image", "start_execution", "upload_scripts", "wait_for_execution"]
    assert read.timetable.summary == "30 2 * * *"
    assert read.doc_md.startswith("Arrival delays of a day's flights")


def test_parsing_twice_gives_the_same_dag(project: Path) -> None:
    """Airflow stores a new version of a DAG when its serialized form changes: two parses must not differ."""
    first, second = (
        json.dumps(DagSerialization.to_dict(DagBag(str(project / "dags")).dags["flight_delay"]), sort_keys=True)
        for _ in range(2)
    )
    assert first == second
