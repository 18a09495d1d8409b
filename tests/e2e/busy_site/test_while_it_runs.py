"""What people see and do while a job runs: its lines in the task's log, and the site from a shell."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from stepbridge.cli.local_site.airflow_client import AirflowClient, AirflowError
from stepbridge.cli.local_site.local_aws import local_session
from stepbridge.cli.local_site.site import RunningSite
from stepbridge.triggers.state_changes import JOB_LINES
from tests.e2e.busy_site.airflow_calls import asked, ended, trigger, unpaused

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800), pytest.mark.xdist_group("busy site")]

ROOT = Path(__file__).parents[3]


def test_lines_of_a_job_stand_in_the_task_s_log_while_it_runs(airflow: AirflowClient, site: RunningSite) -> None:
    """The first line before the others are written; of thousands only so many, and a word that there are more."""
    unpaused(airflow, "talks")
    trigger(airflow, "talks", "run", "2026-01-01T00:00:00Z")
    asked(lambda: job_lines(airflow), lambda lines: "| the first of them" in lines)
    lines = asked(lambda: job_lines(airflow), lambda lines: "more in the job's log" in lines[-1])
    assert len(lines) == JOB_LINES + 1
    assert "| row 0" in lines

    states = local_session().client("stepfunctions", endpoint_url=site.aws_endpoint_url)
    arn = airflow.xcom("talks", "run", "start_execution")
    assert states.describe_execution(executionArn=arn)["status"] == "RUNNING"
    airflow._send("PATCH", "/api/v2/dags/talks/dagRuns/run", {"state": "failed"})
    assert ended(airflow, "talks", "run") == "failed"
    asked(lambda: states.describe_execution(executionArn=arn)["status"], lambda status: status == "ABORTED")


def job_lines(airflow: AirflowClient) -> list[str]:
    """What the task's log has of the job's."""
    try:
        log = list(airflow.task_log("talks", "run", "wait_for_execution", 1))
    except AirflowError:  # there is no log before the task
        return [""]
    return [line.strip() for line in log if line.lstrip().startswith("| ")] or [""]


def test_a_shell_uses_the_site_as_the_docs_write_it(airflow: AirflowClient, site: RunningSite, project: Path) -> None:
    """In the project's folder, with nothing else set: ``airflow`` lists the models of this site, boto3 its bucket."""
    [line] = re.findall(r"`(\. \.stepbridge/activate)`", " ".join((ROOT / "docs/cli.md").read_text().split()))
    clean = {name: os.environ[name] for name in ("HOME", "LANG", "TMPDIR") if name in os.environ}
    bucket = "python -c \"import boto3; print([b['Name'] for b in boto3.client('s3').list_buckets()['Buckets']])\""

    def shell(command: str) -> str:
        environment = clean | {"PATH": "/usr/bin:/bin"}
        done = subprocess.run(
            ["/bin/sh", "-c", f"{line} && {command}"],
            cwd=project,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def listed(command: str) -> list[dict[str, str]]:
        """What it lists: Airflow may warn above that."""
        return list(json.loads(shell(f"{command} --output json").splitlines()[-1]))

    cards = {card.stem for card in (project / "dags/models").glob("*.yaml")}
    for card in cards:
        asked(lambda card=card: airflow.dag(card), bool)  # type: ignore[misc]
    assert {dag["dag_id"] for dag in listed("airflow dags list")} == cards
    assert [variable["key"] for variable in listed("airflow variables list")] == ["stepbridge"]
    assert site.stack().bucket in shell(bucket)
