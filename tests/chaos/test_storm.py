"""Many short executions while a tenth of the calls to AWS fail and Airflow's processes are killed one after another.

``CHAOS_RUNS`` (50 by default, 1000 in `make chaos`) is how many, ``CHAOS_SEED`` what the faults and kills follow from.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.config import Config
from tests.chaos.books import Books, read_books
from tests.chaos.components import Components, components_of, listed_faults, set_faults
from tests.chaos.storm import Storm
from tests.e2e.conftest import copy_project

from stepbridge.cli.airflow_site import AirflowClient, AirflowError
from stepbridge.cli.local_site import local_session

RUNS = int(os.environ.get("CHAOS_RUNS", "50"))
SEED = int(os.environ.get("CHAOS_SEED", "2013"))
BAD_EVERY = 25  # each so-manieth input makes its script fail
OUTSTANDING = 40  # runs that are triggered and not yet done
SECONDS_BETWEEN_KILLS = 8.0 if RUNS <= 100 else 20.0
SECONDS_A_RUN = 15  # on a loaded machine with two cores
CALM_FROM = 0.9  # the part of the runs after whose end nobody is killed any more
STALL_SECONDS = 180  # without any run's end: a killed worker took a lock of Airflow's executor with it
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
from datetime import timedelta

from airflow.sdk import DAG

from stepbridge.dag_factory.retry_policy import ModelRetryPolicy
from stepbridge.operators.start_execution import StartExecutionOperator
from stepbridge.sensors.execution import ExecutionSensor

PARAMS = {
    "input_uri": "s3://{{ var.json.stepbridge.bucket }}/in/{{ run_id }}/",
    "output_uri": "s3://{{ var.json.stepbridge.bucket }}/out/{{ run_id }}/",
    "stages": ["preprocessing", "postprocessing"],
}
RETRIES = {"retries": 20, "retry_delay": timedelta(seconds=3), "retry_policy": ModelRetryPolicy()}

with DAG("storm", schedule=None, params=PARAMS, max_active_runs=24, default_args=RETRIES):
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
    (project / "containers/scikit_learn/Dockerfile").write_text('FROM python:3.11-slim\nENTRYPOINT ["python3"]\n')
    with components_of(project, folder) as made:
        yield made


@dataclass
class Runs:
    """Triggers runs and follows them, a window at a time. ``done`` are states by run id."""

    airflow: AirflowClient
    s3: Any
    bucket: str
    ids: list[str]
    triggered: int
    done: dict[str, str]

    def bad(self, run_id: str) -> bool:
        return self.ids.index(run_id) % BAD_EVERY == BAD_EVERY - 1

    def go_on(self) -> None:
        """Trigger what there is room for and ask for what has ended."""
        try:
            self._trigger()
            self._ask()
        except AirflowError as error:  # the API server is as busy as the rest; what counts is the end
            print("  ", str(error)[:200], flush=True)

    def _trigger(self) -> None:
        while self.triggered < len(self.ids) and self.triggered - len(self.done) < OUTSTANDING:
            run_id = self.ids[self.triggered]
            text = "bad\n" if self.bad(run_id) else f"{run_id}\n"
            self.s3.put_object(Bucket=self.bucket, Key=f"in/{run_id}/day.txt", Body=text.encode())
            day = datetime(2013, 1, 1, tzinfo=UTC) + timedelta(hours=self.triggered)
            try:
                self.airflow.trigger("storm", run_id, day.isoformat())
            except AirflowError as error:
                if "HTTP 409" not in str(error):  # it was made, and an error of the API server's hid that
                    raise
            self.triggered += 1

    def _ask(self) -> None:
        waiting = [run_id for run_id in self.ids[: self.triggered] if run_id not in self.done]
        for run_id in waiting[:OUTSTANDING]:
            state = self.airflow.dag_run("storm", run_id)["state"]
            if state in ("success", "failed"):
                self.done[run_id] = state


@pytest.fixture(scope="module")
def clients(components: Components) -> dict[str, Any]:
    """Clients beside the operators', which try again until the answer is there."""
    session = local_session()
    patient = Config(retries={"mode": "standard", "total_max_attempts": 20})
    url = components.deployment.endpoint_url
    return {
        name: session.client(name, endpoint_url=url, config=patient) for name in ("s3", "stepfunctions", "sagemaker")
    }


@pytest.fixture(scope="module")
def storm(components: Components, clients: dict[str, Any]) -> Iterator[tuple[Runs, Storm]]:
    """All runs, ended."""
    bucket = components.deployment.bucket
    for stage in STAGES:
        clients["s3"].put_object(Bucket=bucket, Key=f"code/{stage}.py", Body=SCRIPT.format(stage=stage).encode())
    airflow = components.client()
    deadline = time.monotonic() + 120
    while airflow.dag("storm") is None:
        assert time.monotonic() < deadline, airflow.import_errors()
        time.sleep(0.3)
    airflow.unpause("storm")
    ids = [f"r{number:04}" for number in range(RUNS)]
    runs = Runs(airflow, clients["s3"], bucket, ids, 0, {})
    endpoint_url = str(components.deployment.endpoint_url)
    set_faults(endpoint_url, FAULTS)
    kills = Storm(components, SEED, seconds_between=SECONDS_BETWEEN_KILLS)
    _weather(runs, kills, components)
    struck = {fault["name"]: (fault.get("struck"), fault.get("candidates")) for fault in listed_faults(endpoint_url)}
    set_faults(endpoint_url, [])
    print(f"\n{len(ids)} runs: {Counter(runs.done.values())}; killed {dict(kills.killed)}; faults {struck}", flush=True)
    yield runs, kills
    airflow.close()


def _weather(runs: Runs, kills: Storm, components: Components) -> None:
    """Until every run has ended; a stall is answered as an operator would: the scheduler is started anew."""
    began = last_end = time.monotonic()
    told, ended = 0.0, 0
    while len(runs.done) < len(runs.ids):
        components.revive()
        if len(runs.done) < CALM_FROM * len(runs.ids):
            kills.blow()
        runs.go_on()
        now = time.monotonic()
        if len(runs.done) > ended:
            ended, last_end = len(runs.done), now
        if now - last_end > STALL_SECONDS:
            print("   no run has ended for a while: the scheduler is started anew", flush=True)
            components.kill_with_all("scheduler")
            kills.killed["stalled scheduler"] += 1
            last_end = now
        if now - told > 30:
            told = now
            print(
                f"   {now - began:5.0f} s: {runs.triggered} triggered, {ended} ended, {dict(kills.killed)}", flush=True
            )
        assert now - began < 300 + SECONDS_A_RUN * len(runs.ids), f"{runs.triggered} triggered, {ended} ended"
        time.sleep(0.5)


@pytest.fixture(scope="module")
def books(storm: tuple[Runs, Storm], components: Components, clients: dict[str, Any]) -> Books:
    """What was done for each run, once nothing is under way or half a minute has passed."""
    deadline = time.monotonic() + 30
    while True:
        found = read_books(clients, components.deployment, storm[0].ids)
        if not (found.running_executions or found.unfinished_jobs) or time.monotonic() > deadline:
            return found
        time.sleep(1)


pytestmark = pytest.mark.timeout(600 + (SECONDS_A_RUN + 5) * RUNS)


def test_no_run_is_lost(storm: tuple[Runs, Storm], books: Books) -> None:
    """Each good input has its result, each bad one has none, and the run's state says so."""
    runs, _ = storm
    wrong = {}
    for run_id in runs.ids:
        good = not runs.bad(run_id)
        expected = f"{run_id}\npreprocessing\npostprocessing\n" if good else None
        if (runs.done[run_id], books.runs[run_id].result) != ("success" if good else "failed", expected):
            wrong[run_id] = (runs.done[run_id], books.runs[run_id])
    assert wrong == {}


def test_no_stage_is_completed_twice(storm: tuple[Runs, Storm], books: Books) -> None:
    """Whatever was lost or killed, each stage of a good run was paid for once."""
    runs, _ = storm
    counts = {
        run_id: {stage: books.runs[run_id].completed(stage) for stage in STAGES}
        for run_id in runs.ids
        if not runs.bad(run_id)
    }
    assert {run_id: count for run_id, count in counts.items() if set(count.values()) != {1}} == {}


def test_each_run_has_one_execution(storm: tuple[Runs, Storm], books: Books) -> None:
    """No retry started a second one."""
    runs, _ = storm
    assert {run_id: book.executions for run_id, book in books.runs.items() if len(book.executions) != 1} == {}
    assert len(books.runs) == len(runs.ids)


def test_nothing_runs_on(books: Books) -> None:
    """No execution and no job is left."""
    assert books.running_executions == []
    assert books.unfinished_jobs == []


def test_every_failure_names_its_cause(storm: tuple[Runs, Storm], components: Components) -> None:
    """The last task's log has the stage, the kind of error and the script's own words."""
    runs, _ = storm
    airflow = components.client()
    for run_id in (run_id for run_id, state in runs.done.items() if state == "failed"):
        [failed] = [each for each in airflow.task_instances("storm", run_id) if each["state"] == "failed"]
        log = "\n".join(airflow.task_log("storm", run_id, failed["task_id"], failed["try_number"]))
        for words in ("preprocessing", "AlgorithmError", "row 3 of day.txt is bad"):
            assert words in log, f"{run_id}: {log}"
    airflow.close()


def test_the_storm_was_one(storm: tuple[Runs, Storm]) -> None:
    """Every kind of process was killed at least once."""
    _, kills = storm
    assert {"worker", "task", "triggerer", "scheduler"} <= set(kills.killed)
