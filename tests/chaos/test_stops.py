"""What ends a run ends its execution and its job; a crash ends and starts nothing. One real Airflow, one site."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from stepbridge.cli.airflow_site import AirflowClient
from stepbridge.cli.local_site import RunningSite, local_session

STOP_SECONDS = 30  # within which an execution has to be stopped
FIRST_STOP_SECONDS = 90  # of a triggerer, on a busy machine
PATIENCE_SECONDS = 120
WAIT, RUN = "wait_for_execution", "run"
SCRIPT = "import time\nprint('asleep', flush=True)\ntime.sleep(900)\n"
DAGS = """
from datetime import timedelta

from airflow.sdk import DAG

from stepbridge.operators.start_execution import StartExecutionOperator
from stepbridge.sensors.execution import ExecutionSensor

CODE = "s3://{{ var.json.stepbridge.bucket }}/code/"
PARAMS = {
    "input_uri": "s3://{{ var.json.stepbridge.bucket }}/in/",
    "output_uri": "s3://{{ var.json.stepbridge.bucket }}/out/{{ dag.dag_id }}/",
    "stages": ["preprocessing"],
}


def sleeper(dag_id, dagrun_timeout=None, **wait):
    with DAG(dag_id, schedule=None, params=PARAMS, dagrun_timeout=dagrun_timeout, is_paused_upon_creation=False) as dag:
        start = StartExecutionOperator(task_id="start_execution", model=dag_id, image_uri=None, code_uri=CODE)
        ExecutionSensor(task_id="wait_for_execution", execution_arn=start.output, model=dag_id, **wait)
    return dag


marked_failed = sleeper("marked_failed")
marked_success = sleeper("marked_success")
cleared = sleeper("cleared")
crashed = sleeper("crashed")
run_timeout = sleeper("run_timeout", dagrun_timeout=timedelta(seconds=60))
deferral_timeout = sleeper("deferral_timeout", timeout=30)
worker_marked = sleeper("worker_marked", deferrable=False)
worker_sigterm = sleeper("worker_sigterm", deferrable=False)
worker_sigkill = sleeper("worker_sigkill", deferrable=False, retries=1, retry_delay=timedelta(seconds=1))
task_timeout = sleeper("task_timeout", deferrable=False, execution_timeout=timedelta(seconds=5))
"""
IN_TRIGGERER = ("run_timeout", "deferral_timeout", "marked_failed", "cleared", "marked_success", "crashed")


@pytest.fixture(scope="module")
def add_models(project: Path) -> None:
    """Only models that sleep, and a scikit-learn image that takes no time to build."""
    for card in (project / "dags/models").iterdir():
        card.unlink()
    (project / "dags/sleepers.py").write_text(DAGS)
    (project / "containers/scikit_learn/Dockerfile").write_text('FROM python:3.11-slim\nENTRYPOINT ["python3"]\n')


def until(what: str, look: Callable[[], Any], seconds: float = PATIENCE_SECONDS) -> Any:
    """The first true value of ``look``."""
    deadline = time.monotonic() + seconds
    while not (seen := look()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.3)
    return seen


@dataclass
class Bench:
    """The site's Airflow and AWS, and one run, named RUN, of each DAG."""

    airflow: AirflowClient
    machines: Any
    sagemaker: Any

    def start(self, dag_id: str) -> None:
        until(f"DAG {dag_id}", lambda: self.airflow.dag(dag_id))
        self.airflow.unpause(dag_id)
        self.airflow.trigger(dag_id, RUN, datetime.now(UTC).isoformat())

    def wait(self, dag_id: str) -> dict[str, Any]:
        """The task instance of the wait."""
        return next(each for each in self.airflow.task_instances(dag_id, RUN) if each["task_id"] == WAIT)

    def arn(self, dag_id: str) -> str:
        return str(until(f"execution of {dag_id}", lambda: self.airflow.xcom(dag_id, RUN, "start_execution")))

    def execution(self, dag_id: str) -> dict[str, Any]:
        described: dict[str, Any] = self.machines.describe_execution(executionArn=self.arn(dag_id))
        return described

    def log(self, dag_id: str) -> str:
        tries = range(1, self.wait(dag_id)["try_number"] + 1)
        return "\n".join(line for number in tries for line in self.airflow.task_log(dag_id, RUN, WAIT, number))

    def watched(self, dag_id: str) -> None:
        """Returns once the triggerer has the wait and the job runs."""
        until(f"deferral of {dag_id}", lambda: self.wait(dag_id)["state"] == "deferred")
        until(f"trigger of {dag_id}", lambda: (self.wait(dag_id)["trigger"] or {}).get("triggerer_id"))
        until(f"watching {dag_id}", lambda: "starting" in self.log(dag_id))
        self.job(dag_id)

    def works(self, dag_id: str) -> None:
        """Returns once a worker waits and the job runs."""
        until(f"wait of {dag_id}", lambda: "Preprocessing entered" in self.log(dag_id))
        self.job(dag_id)

    def job(self, dag_id: str) -> str:
        """The name of the execution's first job, which must be there soon."""
        part = dag_id.replace("_", "-")

        def named() -> str | None:
            jobs = self.sagemaker.list_processing_jobs(SortBy="CreationTime", SortOrder="Ascending", MaxResults=100)
            names = (job["ProcessingJobName"] for job in jobs["ProcessingJobSummaries"])
            return next((name for name in names if part in name), None)

        return str(until(f"job of {dag_id}", named))

    def stopped(self, dag_id: str, seconds: float = STOP_SECONDS) -> str:
        """The cause of the stop, once execution and job have ended and the task's log says so."""
        until(f"stop of {dag_id}", lambda: self.execution(dag_id)["status"] == "ABORTED", seconds)
        job = self.job(dag_id)
        until(
            f"stop of {job}",
            lambda: self.sagemaker.describe_processing_job(ProcessingJobName=job)["ProcessingJobStatus"] == "Stopped",
            seconds,
        )
        until(f"log of {dag_id}", lambda: f"stopping {self.arn(dag_id)}" in self.log(dag_id), seconds)
        execution = self.execution(dag_id)
        assert execution["error"].startswith("stepbridge.")
        assert f"task {dag_id}.{WAIT} of run {RUN}, try 1" in execution["cause"]
        return str(execution["cause"])

    def mark(self, dag_id: str, state: str) -> None:
        path = f"/api/v2/dags/{dag_id}/dagRuns/{RUN}/taskInstances/{WAIT}"
        self.airflow._send("PATCH", path, {"new_state": state})

    def clear(self, dag_id: str) -> None:
        body = {"dag_run_id": RUN, "dry_run": False, "only_failed": False, "task_ids": [WAIT]}
        self.airflow._send("POST", f"/api/v2/dags/{dag_id}/clearTaskInstances", body)


@pytest.fixture(scope="module")
def bench(site: RunningSite) -> Iterator[Bench]:
    """Runs of all that waits in the triggerer are started at once: they wait side by side."""
    session = local_session()
    clients = {
        name: session.client(name, endpoint_url=site.aws_endpoint_url) for name in ("s3", "stepfunctions", "sagemaker")
    }
    bucket = site.stack().bucket
    clients["s3"].put_object(Bucket=bucket, Key="in/day.txt", Body=b"day\n")
    clients["s3"].put_object(Bucket=bucket, Key="code/preprocessing.py", Body=SCRIPT.encode())
    made = Bench(site.airflow(), clients["stepfunctions"], clients["sagemaker"])
    for dag_id in IN_TRIGGERER:
        made.start(dag_id)
    yield made
    made.airflow.close()


def test_marked_failed_while_deferred(bench: Bench) -> None:
    """The triggerer stops the execution and says for whom and why."""
    bench.watched("marked_failed")
    bench.mark("marked_failed", "failed")
    # The first question of all that a triggerer asks Airflow makes it build an API server in its own process.
    assert "marked as failed" in bench.stopped("marked_failed", FIRST_STOP_SECONDS)


def test_cleared_while_deferred(bench: Bench) -> None:
    """Airflow ends the trigger when the next try is there, which redrives what is stopped for the clear."""
    bench.watched("cleared")
    bench.clear("cleared")
    until("redrive", lambda: bench.execution("cleared")["redriveCount"] == 1, 2 * STOP_SECONDS)
    events = bench.machines.get_execution_history(executionArn=bench.arn("cleared"), maxResults=1000)["events"]
    [abort] = [event["executionAbortedEventDetails"] for event in events if event["type"] == "ExecutionAborted"]
    assert f"task cleared.{WAIT} of run {RUN}, try 1 was cleared" in abort["cause"]
    job = bench.sagemaker.describe_processing_job(ProcessingJobName=bench.job("cleared"))
    assert job["ProcessingJobStatus"] == "Stopped"
    until("wait", lambda: bench.wait("cleared")["state"] == "deferred")
    assert bench.execution("cleared")["status"] == "RUNNING"


def test_marked_success_while_deferred(bench: Bench) -> None:
    """A user who calls the wait done has nothing against the work: the log says that it goes on."""
    bench.watched("marked_success")
    bench.mark("marked_success", "success")
    until("log", lambda: "marked as a success" in bench.log("marked_success"))
    assert bench.execution("marked_success")["status"] == "RUNNING"


def test_timeouts_of_deferral_and_dag_run(bench: Bench) -> None:
    """Both stop what is waited for, each with its own cause."""
    assert "timeout of its DAG run" in bench.stopped("run_timeout", 75 + STOP_SECONDS)
    assert "did not end within 30" in bench.stopped("deferral_timeout", 30 + STOP_SECONDS)
    assert bench.airflow.dag_run("run_timeout", RUN)["state"] == "failed"


def test_ended_in_the_worker(bench: Bench) -> None:
    """Marked failed, SIGTERM and the task's timeout, while a worker waits."""
    for dag_id in ("worker_marked", "worker_sigterm", "task_timeout"):
        bench.start(dag_id)
    for dag_id in ("worker_marked", "worker_sigterm"):
        bench.works(dag_id)
    bench.mark("worker_marked", "failed")
    os.kill(bench.wait("worker_sigterm")["pid"], signal.SIGTERM)
    assert "SIGTERM" in bench.stopped("worker_marked")
    assert "SIGTERM" in bench.stopped("worker_sigterm")
    assert "execution_timeout" in bench.stopped("task_timeout")
    until("end", lambda: bench.wait("worker_sigterm")["state"] == "failed")
    assert "WaitKilled" in bench.log("worker_sigterm")


def test_a_crash_of_the_worker_stops_and_starts_nothing(bench: Bench) -> None:
    """The next try waits for what runs."""
    bench.start("worker_sigkill")
    bench.works("worker_sigkill")
    os.kill(bench.wait("worker_sigkill")["pid"], signal.SIGKILL)
    until("next try", lambda: bench.wait("worker_sigkill")["try_number"] == 2)
    until("running", lambda: bench.wait("worker_sigkill")["state"] == "running")
    assert bench.execution("worker_sigkill")["status"] == "RUNNING"
    assert bench.execution("worker_sigkill")["redriveCount"] == 0


def test_each_run_had_one_execution(bench: Bench) -> None:
    """Nothing of all that started a second one."""
    machine = bench.arn("cleared").replace(":execution:", ":stateMachine:").rpartition(":")[0]
    pages = bench.machines.get_paginator("list_executions").paginate(stateMachineArn=machine)
    names = [item["name"].rsplit("-", 1)[0] for page in pages for item in page["executions"]]
    assert sorted(names) == sorted(set(names)), json.dumps(names)


def components(site_folder: Path, name: str) -> list[int]:
    """The processes of an Airflow component, the oldest first."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().split(b"\0")
                environment = (entry / "environ").read_bytes()
            except OSError:
                continue
            if name.encode() in command and b"airflow" in command and str(site_folder).encode() in environment:
                found.append(int(entry.name))
    return sorted(found)


def test_a_crash_of_triggerer_and_scheduler_stops_and_starts_nothing(
    bench: Bench, site: RunningSite, project: Path
) -> None:
    """Killed with SIGKILL and started again, they go on with the wait; a stop works as before."""
    bench.watched("crashed")
    os.kill(site.pid, signal.SIGSTOP)  # which would end the site when one of its own dies
    revived = []
    try:
        for name in ("triggerer", "scheduler"):
            pids = components(project, name)
            variables = Path(f"/proc/{pids[0]}/environ").read_bytes().decode().split("\0")
            command = Path(f"/proc/{pids[0]}/cmdline").read_bytes().decode().split("\0")[:-1]
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
            environment = dict(variable.split("=", 1) for variable in variables if variable)
            with (project / f"revived-{name}.log").open("wb") as log:
                revived.append(
                    subprocess.Popen(
                        command, cwd=project, env=environment, stdout=log, stderr=log, start_new_session=True
                    )
                )
        until("watching again", lambda: bench.log("crashed").count(") starting") == 2)
        execution = bench.execution("crashed")
        assert (execution["status"], execution["redriveCount"]) == ("RUNNING", 0)
        assert bench.wait("crashed")["state"] == "deferred"
        bench.mark("crashed", "failed")
        assert "marked as failed" in bench.stopped("crashed", FIRST_STOP_SECONDS)
    finally:
        for process in revived:
            process.terminate()
        for process in revived:
            process.wait(30)
        os.kill(site.pid, signal.SIGCONT)
