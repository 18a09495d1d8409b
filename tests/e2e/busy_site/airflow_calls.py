"""Calls of a busy Airflow, made again until they are answered."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from stepbridge.cli.local_site.airflow_client import AirflowClient, AirflowError

SECONDS = 1200


def asked(call: Callable[[], Any], wanted: Callable[[Any], bool]) -> Any:
    """The first answer that is ``wanted``. A loaded machine may leave a call without one: it is asked again."""
    deadline, last = time.monotonic() + SECONDS, None
    while time.monotonic() < deadline:
        try:
            if wanted(last := call()):
                return last
        except AirflowError as error:
            last = error
        time.sleep(0.5)
    raise AssertionError(last)


def unpaused(airflow: AirflowClient, dag_id: str) -> None:
    asked(lambda: airflow.dag(dag_id), lambda dag: dag is not None)
    asked(lambda: airflow.unpause(dag_id), lambda _: True)


def ended(airflow: AirflowClient, dag_id: str, run_id: str) -> str:
    """The run's last state."""
    run = asked(lambda: airflow.dag_run(dag_id, run_id), lambda run: run["state"] in ("success", "failed"))
    return str(run["state"])


def logs(airflow: AirflowClient, dag_id: str, run_id: str) -> str:
    """The logs of the run's failed tasks."""
    failed = [each for each in airflow.task_instances(dag_id, run_id) if each["state"] == "failed"]
    return "\n".join(
        line for each in failed for line in airflow.task_log(dag_id, run_id, each["task_id"], each["try_number"])
    )


def trigger(airflow: AirflowClient, dag_id: str, run_id: str, logical_date: str | None, **conf: Any) -> None:
    """Make the run; a call without an answer is made again, and may find the run there."""
    body = {"dag_run_id": run_id, "logical_date": logical_date, "conf": conf}

    def make() -> bool:
        try:
            airflow._send("POST", f"/api/v2/dags/{dag_id}/dagRuns", body)
        except AirflowError as error:
            if "HTTP 400" in str(error):
                raise AssertionError(str(error)) from error
            return "HTTP 409" in str(error)
        return True

    asked(make, bool)
