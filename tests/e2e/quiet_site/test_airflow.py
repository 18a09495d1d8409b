"""A real Airflow runs models from its REST API: what works, what fails, and what the log of a failed task says."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import pytest

from stepbridge.cli.local_site.airflow_client import AirflowClient
from stepbridge.cli.local_site.local_aws import local_session
from stepbridge.cli.local_site.site import RunningSite
from tests.flight_data import write_day

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("quiet site")]

DAY = date(2013, 7, 1)


@pytest.fixture(scope="module")
def airflow(site: RunningSite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AirflowClient]:
    s3 = local_session().client("s3", endpoint_url=site.aws_endpoint_url)
    for file in write_day(DAY, tmp_path_factory.mktemp("day")):
        s3.upload_file(str(file), site.stack().bucket, f"flights/{DAY}/{file.name}")
    client = site.airflow()
    yield client
    client.close()


def run_to_end(airflow: AirflowClient, dag_id: str, conf: dict[str, Any] | None = None) -> tuple[str, str]:
    """The run's id and final state."""
    deadline = time.monotonic() + 240
    while airflow.dag(dag_id) is None:
        assert time.monotonic() < deadline, airflow.import_errors()
        time.sleep(0.3)
    airflow.unpause(dag_id)
    now = datetime.now(UTC)
    run_id = f"e2e__{now:%H-%M-%S.%f}"
    airflow.trigger(dag_id, run_id, datetime.combine(DAY, now.time(), UTC).isoformat(), conf)
    while (state := airflow.dag_run(dag_id, run_id)["state"]) not in ("success", "failed"):
        assert time.monotonic() < deadline, airflow.task_instances(dag_id, run_id)
        time.sleep(0.3)
    return run_id, state


def log_of(airflow: AirflowClient, dag_id: str, run_id: str, task_id: str) -> str:
    instance = next(i for i in airflow.task_instances(dag_id, run_id) if i["task_id"] == task_id)
    return "\n".join(airflow.task_log(dag_id, run_id, task_id, instance["try_number"]))


def test_a_triggered_run_ends_with_a_run_report(airflow: AirflowClient, site: RunningSite) -> None:
    """The model runs through scheduler and triggerer; its report names three completed stages and lies in S3."""
    run_id, state = run_to_end(airflow, "flight_delay")
    assert state == "success", log_of(airflow, "flight_delay", run_id, "wait_for_execution")
    report = airflow.xcom("flight_delay", run_id, "wait_for_execution")
    assert [stage["stage"] for stage in report["stages"]] == ["preprocessing", "inference", "postprocessing"]
    assert {stage["status"] for stage in report["stages"]} == {"Completed"}
    assert "@sha256:" in airflow.xcom("flight_delay", run_id, "build_image")

    s3 = local_session().client("s3", endpoint_url=site.aws_endpoint_url)
    keys = [
        item["Key"].rpartition(f"{DAY}/")[2]
        for item in s3.list_objects_v2(Bucket=site.stack().bucket, Prefix=f"predictions/flight_delay/{DAY}/")[
            "Contents"
        ]
    ]
    assert {"predictions.csv", "summary.json", f"_stepbridge/{report['execution_name']}.json"} <= set(keys)


def test_a_run_of_one_stage_by_the_form(airflow: AirflowClient) -> None:
    """What the trigger form sends overrides the card: here, only one stage runs."""
    run_id, state = run_to_end(airflow, "flight_delay", {"stages": ["preprocessing"], "max_runtime": 300})
    assert state == "success", log_of(airflow, "flight_delay", run_id, "wait_for_execution")
    report = airflow.xcom("flight_delay", run_id, "wait_for_execution")
    assert [stage["stage"] for stage in report["stages"]] == ["preprocessing"]
    assert report["input"]["max_runtime"] == 300


def test_a_script_that_fails_is_named_with_its_last_lines(airflow: AirflowClient) -> None:
    """The log of the failed task says which stage and job failed, how, and what the script printed last."""
    run_id, state = run_to_end(airflow, "exits_three")
    assert state == "failed"
    log = log_of(airflow, "exits_three", run_id, "wait_for_execution")
    for expected in ("preprocessing", "AlgorithmError", "exit code: 3", "no such licence server"):
        assert expected in log, log


def test_a_card_with_an_unknown_key_is_an_import_error_and_breaks_no_other(airflow: AirflowClient) -> None:
    """Airflow shows file, line and the close match; the other cards' DAGs are there."""
    errors = "\n".join(airflow.import_errors())
    assert "misspelt.yaml" in errors
    assert "max_runtim" in errors
    assert "max_runtime" in errors
    assert airflow.dag("flight_delay") is not None
