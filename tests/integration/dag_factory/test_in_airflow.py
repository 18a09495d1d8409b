"""The loader in a real Airflow: parsed, stored, shown, triggered and backfilled."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.xdist_group("airflow command")

Airflow = Callable[..., subprocess.CompletedProcess[str]]
Listed = Callable[..., list[dict[str, Any]]]


def test_right_and_broken_cards_are_stored_side_by_side(listed: Listed) -> None:
    """Every card has its DAG, and none of them counts as stale on account of the broken ones."""
    rows = {row["dag_id"]: row for row in listed("dags", "list", "--columns", "dag_id,owners,is_stale,tags")}
    assert sorted(rows) == ["flight_delay", "never", "unknown_key"]
    assert rows["flight_delay"]["owners"] == ["data-science"]
    assert [row["is_stale"] for row in rows.values()] == ["False"] * 3
    tags = {name: {tag["name"] for tag in row["tags"]} for name, row in rows.items()}
    assert tags["unknown_key"] == tags["never"] == {"broken-card"}
    assert tags["flight_delay"] == {"flights", "regression", "stepbridge"}


@pytest.mark.long
def test_broken_cards_are_an_import_error(listed: Listed) -> None:
    """One error, in a file of its own, names every broken card with file and line."""
    (row,) = listed("dags", "list-import-errors")
    assert row["filepath"] == "broken_cards.py"
    assert "dags/models/unknown_key.yaml:2:1: unknown key 'output_url'" in row["error"]
    assert "dags/models/never.yaml:3:11: schedule is '0 4 31 2 *'; expected a schedule with a next" in row["error"]
    assert "dags/models/flight_delay.yml: the model 'flight_delay' is declared by" in row["error"]


@pytest.mark.long
def test_a_run_with_a_wrong_parameter_is_refused(airflow: Airflow) -> None:
    """Airflow checks a trigger against the form and says which value it does not take."""
    done = airflow("dags", "trigger", "flight_delay", "--conf", '{"volume_size": 0}')
    assert done.returncode != 0
    assert "0 is less than the minimum of 1" in done.stdout + done.stderr


@pytest.mark.long
def test_a_run_with_right_parameters_is_queued(airflow: Airflow, listed: Listed) -> None:
    """What the form lets through, Airflow takes."""
    conf = '{"stages": ["inference"], "instance_type": "ml.m5.xlarge", "input_uri": "s3://b/{{ ds }}/"}'
    done = airflow("dags", "trigger", "flight_delay", "--conf", conf, "--run-id", "by_hand")
    assert done.returncode == 0, done.stderr
    (run,) = [row for row in listed("dags", "list-runs", "flight_delay") if row["run_id"] == "by_hand"]
    assert run["state"] == "queued"


@pytest.mark.long
def test_days_of_2013_can_be_backfilled(airflow: Airflow) -> None:
    """A run per night, whose logical date is the day that the data is of, at 02:30 in New York."""
    done = airflow(
        *("backfill", "create", "--dag-id", "flight_delay", "--dry-run"),
        *("--from-date", "2013-04-01", "--to-date", "2013-04-04"),
    )
    assert done.returncode == 0, done.stderr
    days = [line.split("|")[1].strip() for line in done.stdout.splitlines() if line.startswith("| 2013")]
    assert days == [f"2013-04-0{day} 06:30:00+00:00" for day in (1, 2, 3)]
