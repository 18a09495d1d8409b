"""Many short executions while a tenth of the calls to AWS fail and Airflow's processes are killed one after another.

``CHAOS_RUNS`` (20 by default, 1000 in `make chaos`) is how many, ``CHAOS_SEED`` what the faults and kills follow from.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from botocore.config import Config
from tests.chaos.components import Components, components_of, listed_faults, set_faults
from tests.chaos.kills import Kills
from tests.chaos.records import Records, read_records
from tests.e2e.conftest import copy_project

from stepbridge.cli.local_site.airflow_client import AirflowClient, AirflowError
from stepbridge.cli.local_site.local_aws import local_session

RUNS = int(os.environ.get("CHAOS_RUNS", "20"))
SEED = int(os.environ.get("CHAOS_SEED", "2013"))
BAD_EVERY = 10  # every tenth input makes its script fail
SIDE_BY_SIDE = 24
SECONDS_BETWEEN_KILLS = 8.0 if RUNS <= 100 else 20.0
POLL_SECONDS = 2.0
SECONDS_A_RUN = 15  # on a loaded machine with two cores
CALM_FROM = 0.6 if RUNS <= 100 else 0.9  # the part of the runs after whose end nobody is killed any more
STALL_SECONDS = 75 if RUNS <= 100 else 180  # no run has ended: a killed worker took a lock of Airflow's executor along
STAGES = ("preprocessing", "postprocessing")

SCRIPT = """
from pathlib import Path

for source in Path("/opt/ml/processing/input").glob("*.txt"):
    text = source.read_text()
    if "bad" in text:
        raise ValueError("row 3 of " + source.name + " is bad")
    Path("/opt/ml/processing/output", source.name).write_text(text + "{stage}\\n")
"""
DAG = """
from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG

from stepbridge.operators.retry_policy import ModelRetryPolicy
from stepbridge.operators.start_execution import StartExecutionOperator
from stepbridge.sensors.execution import ExecutionSensor

PARAMS = {
    "input_uri": "s3://{{ var.json.stepbridge.bucket }}/in/{{ ts_nodash }}/",
    "output_uri": "s3://{{ var.json.stepbridge.bucket }}/out/{{ ts_nodash }}/",
    "stages": ["preprocessing", "postprocessing"],
}
RETRIES = {"retries": 20, "retry_delay": timedelta(seconds=3), "retry_policy": ModelRetryPolicy()}

with DAG(
    "storm",
    schedule="@hourly",
    start_date=datetime(2013, 1, 1, tzinfo=UTC),
    end_date=datetime(2013, 12, 31, tzinfo=UTC),
    catchup=False,
    params=PARAMS,
    default_args=RETRIES,
    is_paused_upon_creation=False,
):
    start = StartExecutionOperator(
        task_id="start_execution",
        model="storm",
        image_uri=None,
        code_uri="s3://{{ var.json.stepbridge.bucket }}/code/",
    )
    ExecutionSensor(task_id="wait_for_execution", execution_arn=start.output, model="storm", timeout=3600)
"""
CALLS = ["states:*", "sagemaker:*", "s3:*", "logs:*"]
FAULTS: list[dict[str, Any]] = [
    {"fault": "error", "name": "throttled", "operations": CALLS, "rate": 0.04, "status": 400,
     "code": "ThrottlingException", "message": "Rate exceeded", "seed": SEED},
    {"fault": "error", "name": "broken", "operations": CALLS, "rate": 0.03, "status": 500, "seed": SEED + 1},
    {"fault": "drop", "name": "lost", "operations": CALLS, "rate": 0.015, "seed": SEED + 2},
    {"fault": "drop", "name": "answer-lost", "operations": CALLS, "rate": 0.015, "when": "after", "seed": SEED + 3},
    {"fault": "job-failure", "reason": "InternalServerError", "rate": 0.03, "seed": SEED + 4},
    {"fault": "clock", "speed": 20},
]  # fmt: skip


@pytest.fixture(scope="module")
def components(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Components]:
    """A site whose only DAG is the one above, with a scikit-learn image that takes no time to build."""
    folder = tmp_path_factory.mktemp("storm")
    project = copy_project(folder / "project")
    for file in (project / "dags").rglob("*.*"):
        file.unlink()
    (project / "dags/storm.py").write_text(DAG)
    (project / "containers/scikit_learn/Dockerfile").write_text('FROM python:3-slim\nENTRYPOINT ["python3"]\n')
    with components_of(project, folder, make_runs) as components:
        yield components


@dataclass
class Runs:
    """The runs of a backfill by the hour that each is of, and what became of them."""

    hours: list[str] = field(default_factory=lambda: [f"{hour_of(number):%Y%m%dT%H%M%S}" for number in range(RUNS)])
    states: dict[str, str] = field(default_factory=dict)
    dag_run_ids: dict[str, str] = field(default_factory=dict)

    def bad(self, hour: str) -> bool:
        return self.hours.index(hour) % BAD_EVERY == BAD_EVERY - 1

    def read(self, airflow: AirflowClient) -> None:
        """Fill in the states and ids."""
        for offset in range(0, len(self.hours), 100):
            page = f"limit=100&offset={offset}&order_by=logical_date"
            for run in (airflow._send("GET", f"/api/v2/dags/storm/dagRuns?{page}") or {})["dag_runs"]:
                hour = f"{datetime.fromisoformat(run['logical_date']):%Y%m%dT%H%M%S}"
                self.states[hour], self.dag_run_ids[hour] = run["state"], run["dag_run_id"]


def client_of(components: Components, service: str) -> Any:
    """A client beside the operators', which tries again until the answer is there."""
    patient = Config(retries={"mode": "standard", "total_max_attempts": 20})
    return local_session().client(service, endpoint_url=components.deployment.endpoint_url, config=patient)


def hour_of(number: int) -> datetime:
    return datetime(2013, 1, 1, tzinfo=UTC) + timedelta(hours=number)


def make_runs(components: Components) -> None:
    """Their inputs, the scripts, the faults, and the backfill that the scheduler will find."""
    s3, bucket = client_of(components, "s3"), components.deployment.bucket
    for stage in STAGES:
        s3.put_object(Bucket=bucket, Key=f"code/{stage}.py", Body=SCRIPT.format(stage=stage).encode())
    runs = Runs()
    for hour in runs.hours:
        text = "bad\n" if runs.bad(hour) else f"{hour}\n"
        s3.put_object(Bucket=bucket, Key=f"in/{hour}/day.txt", Body=text.encode())
    components.airflow("dags", "reserialize")
    dates = ["--from-date", hour_of(0).isoformat(), "--to-date", hour_of(RUNS - 1).isoformat()]
    components.airflow("backfill", "create", "--dag-id", "storm", *dates, "--max-active-runs", str(SIDE_BY_SIDE))
    set_faults(str(components.deployment.endpoint_url), FAULTS)


@pytest.fixture(scope="module")
def storm(components: Components) -> tuple[Runs, Kills]:
    """All runs, ended; no fault is set any more."""
    runs, kills = Runs(), Kills(components, SEED, SECONDS_BETWEEN_KILLS)
    airflow = components.client()
    _kill_until_all_ended(airflow, kills)
    endpoint_url = str(components.deployment.endpoint_url)
    struck = {fault["name"]: (fault.get("struck"), fault.get("candidates")) for fault in listed_faults(endpoint_url)}
    set_faults(endpoint_url, [])
    runs.read(airflow)
    airflow.close()
    print(f"\n{RUNS} runs: {Counter(runs.states.values())}; killed {dict(kills.killed)}; faults {struck}", flush=True)
    return runs, kills


def _ended(airflow: AirflowClient) -> int:
    """How many runs have ended. Raises AirflowError while the API server is as busy as the rest."""
    answers = (
        airflow._send("GET", f"/api/v2/dags/storm/dagRuns?limit=1&state={state}") for state in ("success", "failed")
    )
    return sum((answer or {})["total_entries"] for answer in answers)


def _kill_until_all_ended(airflow: AirflowClient, kills: Kills) -> None:
    """Until every run has ended; a stall is answered as an operator would: the scheduler is started anew."""
    began = last_end = asked = time.monotonic()
    printed, ended = 0.0, 0
    while ended < RUNS:
        kills.components.revive()
        if ended < CALM_FROM * RUNS:
            kills.kill_when_due()
        now = time.monotonic()
        if now - asked > POLL_SECONDS:
            asked, before = now, ended
            try:
                ended = _ended(airflow)
            except (AirflowError, httpx.TransportError) as error:
                print("  ", str(error)[:200], flush=True)
            last_end = now if ended > before else last_end
        if now - last_end > STALL_SECONDS:
            print("   no run has ended for a while: the scheduler is started anew", flush=True)
            kills.components.kill_with_all("scheduler")
            kills.killed["stalled scheduler"] += 1
            last_end = now
        if now - printed > 30:
            printed = now
            print(f"   {now - began:5.0f} s: {ended} ended, killed {dict(kills.killed)}", flush=True)
        assert now - began < 300 + SECONDS_A_RUN * RUNS, f"{ended} of {RUNS} ended"
        time.sleep(0.3)


@pytest.fixture(scope="module")
def records(storm: tuple[Runs, Kills], components: Components) -> Records:
    """What was done for each run, once nothing is under way or half a minute has passed."""
    clients = {service: client_of(components, service) for service in ("s3", "stepfunctions", "sagemaker")}
    deadline = time.monotonic() + 30
    while True:
        found = read_records(clients, components.deployment, storm[0].hours)
        if not (found.running_executions or found.unfinished_jobs) or time.monotonic() > deadline:
            return found
        time.sleep(1)


pytestmark = [
    pytest.mark.long,
    pytest.mark.xdist_group("storm"),
    pytest.mark.timeout(600 + (SECONDS_A_RUN + 5) * RUNS),
]


def test_no_run_is_lost(storm: tuple[Runs, Kills], records: Records) -> None:
    """Each good input has its result, each bad one has none, and the run's state says so."""
    runs, _ = storm
    wrong = {}
    for hour in runs.hours:
        good = not runs.bad(hour)
        expected = f"{hour}\npreprocessing\npostprocessing\n" if good else None
        if (runs.states.get(hour), records.runs[hour].result) != ("success" if good else "failed", expected):
            wrong[hour] = (runs.states.get(hour), records.runs[hour])
    assert wrong == {}


def test_no_stage_is_completed_twice(storm: tuple[Runs, Kills], records: Records) -> None:
    """Whatever was lost or killed, each stage of a good run was paid for once."""
    runs, _ = storm
    counts = {
        hour: {stage: records.runs[hour].completed(stage) for stage in STAGES}
        for hour in runs.hours
        if not runs.bad(hour)
    }
    assert {hour: count for hour, count in counts.items() if set(count.values()) != {1}} == {}


def test_each_run_has_one_execution(storm: tuple[Runs, Kills], records: Records) -> None:
    """No retry started a second one."""
    assert {hour: record.executions for hour, record in records.runs.items() if len(record.executions) != 1} == {}
    assert len(records.runs) == len(storm[0].hours)


def test_nothing_runs_on(records: Records) -> None:
    """No execution and no job is left."""
    assert records.running_executions == []
    assert records.unfinished_jobs == []


def test_every_failure_names_its_cause(storm: tuple[Runs, Kills], components: Components) -> None:
    """The last task's log has the stage, the kind of error and the script's own words."""
    runs, _ = storm
    airflow = components.client()
    for hour in (hour for hour, state in runs.states.items() if state == "failed"):
        run_id = runs.dag_run_ids[hour]
        [failed] = [each for each in airflow.task_instances("storm", run_id) if each["state"] == "failed"]
        log = "\n".join(airflow.task_log("storm", run_id, failed["task_id"], failed["try_number"]))
        for words in ("preprocessing", "AlgorithmError", "row 3 of day.txt is bad"):
            assert words in log, f"{run_id}: {log}"
    airflow.close()


def test_the_storm_was_one(storm: tuple[Runs, Kills]) -> None:
    """Every kind of process was killed at least once."""
    _, kills = storm
    assert {"worker", "task", "triggerer", "scheduler"} <= set(kills.killed)
