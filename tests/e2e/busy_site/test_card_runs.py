"""A real Airflow: what Trigger gives, at any date and at first sight, and what the form says."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from stepbridge.cli.local_site.airflow_client import AirflowClient
from stepbridge.cli.local_site.local_aws import local_session
from stepbridge.cli.local_site.site import RunningSite
from stepbridge.core.model_card import parse_card
from tests.e2e.busy_site.airflow_calls import ended, logs, trigger, unpaused

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800), pytest.mark.xdist_group("busy site")]


def test_a_run_by_hand_at_any_date_runs_its_tasks(airflow: AirflowClient) -> None:
    """Before the first day, after the last, before a first day to come, and without a date."""
    past, within, after = "1970-01-01T00:00:00Z", "2020-06-01T00:00:00Z", "2025-06-01T00:00:00Z"
    dates = {"bounded": (past, within, after, None), "future": (within, None), "unscheduled": (after, None)}
    runs = [(dag_id, str(day)[:4], day) for dag_id, days in dates.items() for day in days]
    unpaused(airflow, "long_run")  # its time passes while the other tests run
    trigger(airflow, "long_run", "too_long", None)
    for dag_id, run_id, day in runs:
        unpaused(airflow, dag_id)
        trigger(airflow, dag_id, run_id, day)
    for dag_id, run_id, _ in runs:
        assert ended(airflow, dag_id, run_id) == "success", logs(airflow, dag_id, run_id)
        states = {each["task_id"]: each["state"] for each in airflow.task_instances(dag_id, run_id)}
        assert states == dict.fromkeys(("upload_scripts", "start_execution", "wait_for_execution"), "success")


def test_the_details_show_zone_and_schedule(airflow: AirflowClient) -> None:
    """In the schedule's description: Airflow 3.3.2's own field shows the installation's zone for every DAG."""
    unpaused(airflow, "bounded")
    found = airflow._send("GET", "/api/v2/dags/bounded/details") or {}
    assert (found["start_date"], found["end_date"]) == (None, None)
    assert found["timetable_summary"] == "30 2 * * *"
    assert found["timetable_description"] == "At 02:30 from 2020-01-01 to 2020-12-31, Asia/Tokyo"


def test_what_the_form_refuses_it_refuses_in_words(airflow: AirflowClient) -> None:
    """No pattern has to be read."""
    unpaused(airflow, "bounded")
    for conf, words in (
        ({"input_uri": "/data"}, "'/data' is not valid; expected: S3 URI such as s3://bucket/prefix/"),
        (
            {"instance_type": "m5.large"},
            "'m5.large' is not valid; expected: SageMaker instance type such as ml.m5.large",
        ),
    ):
        with pytest.raises(AssertionError, match="HTTP 400") as raised:
            trigger(airflow, "bounded", "refused", None, **conf)
        assert words in str(raised.value)
        assert "Failed validating" not in str(raised.value), "the schema is no word"


def test_the_examples_first_trigger_gives_predictions(airflow: AirflowClient, site: RunningSite, project: Path) -> None:
    """The form untouched, at today's date; and each day that the form offers has its data."""
    card = parse_card((project / "dags/models/flight_delay.yaml").read_text(), "flight_delay.yaml")
    s3 = local_session().client("s3", endpoint_url=site.aws_endpoint_url)
    bucket = site.stack().bucket
    for day in card.params["day"]:
        found = s3.list_objects_v2(Bucket=bucket, Prefix=f"flights/{day}/")["Contents"]
        assert {each["Key"].rpartition("/")[2] for each in found} == {"flights.csv", "weather.csv", "planes.csv"}
    unpaused(airflow, "flight_delay")
    trigger(airflow, "flight_delay", "untouched", "2026-11-26T10:00:00Z")
    first, *_, in_the_middle, last = card.params["day"]
    trigger(airflow, "flight_delay", "in_the_middle", None, day=in_the_middle)
    trigger(airflow, "flight_delay", "last_day", None, day=last)
    for run_id, day in (("untouched", first), ("in_the_middle", in_the_middle), ("last_day", last)):
        assert ended(airflow, "flight_delay", run_id) == "success", logs(airflow, "flight_delay", run_id)
        key = f"predictions/flight_delay/{day}/predictions.csv"
        assert s3.get_object(Bucket=bucket, Key=key)["Body"].read().count(b"\n") > 500


def test_a_run_past_its_dagrun_timeout_fails_and_its_execution_is_stopped(
    airflow: AirflowClient, site: RunningSite
) -> None:
    """The card's dagrun_timeout bounds the run."""
    assert ended(airflow, "long_run", "too_long") == "failed"
    states = local_session().client("stepfunctions", endpoint_url=site.aws_endpoint_url)
    arn = airflow.xcom("long_run", "too_long", "start_execution")
    deadline = time.monotonic() + 120
    while (status := states.describe_execution(executionArn=arn)["status"]) == "RUNNING":
        assert time.monotonic() < deadline
        time.sleep(0.5)
    assert status == "ABORTED"
