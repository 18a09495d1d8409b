"""DAGs whose executions sleep until they are stopped, and what a test can see of them and do to them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from stepbridge.cli.local_site.airflow_client import AirflowClient, AirflowError

STOP_SECONDS = 30  # within which an execution has to be stopped
STOP_TIMEOUT_SECONDS = 120
START, WAIT, RUN = "start_execution", "wait_for_execution", "run"
CLOSED = "closed"  # a pool without slots: what is in it stays scheduled
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
worker_drained = sleeper("worker_drained", deferrable=False)
worker_sigkill = sleeper("worker_sigkill", deferrable=False, retries=1, retry_delay=timedelta(seconds=1))
task_timeout = sleeper("task_timeout", deferrable=False, execution_timeout=timedelta(seconds=5))
gap_wait_failed = sleeper("gap_wait_failed", pool="closed")
gap_start_failed = sleeper("gap_start_failed", pool="closed")
gap_run_failed = sleeper("gap_run_failed", pool="closed")
gap_run_timeout = sleeper("gap_run_timeout", pool="closed", dagrun_timeout=timedelta(seconds=45))
gap_success = sleeper("gap_success", pool="closed")
gap_cleared = sleeper("gap_cleared", pool="closed")
untaken_failed = sleeper("untaken_failed")
untaken_run_failed = sleeper("untaken_run_failed")
untaken_timeout = sleeper("untaken_timeout", dagrun_timeout=timedelta(seconds=45))
"""
IN_GAP = ("gap_wait_failed", "gap_start_failed", "gap_run_failed", "gap_success", "gap_cleared")
UNTAKEN = ("untaken_timeout", "untaken_failed", "untaken_run_failed")
IN_TRIGGERER = ("run_timeout", "deferral_timeout", "marked_failed", "cleared", "marked_success", "crashed")


def until(what: str, read: Callable[[], Any], seconds: float = STOP_TIMEOUT_SECONDS) -> Any:
    """The first true value of ``read``."""
    deadline = time.monotonic() + seconds
    while not (found := read()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.3)
    return found


@dataclass
class SleepingRuns:
    """The site's Airflow and AWS, and one run, named RUN, of each DAG."""

    airflow: AirflowClient
    machines: Any
    sagemaker: Any

    def start(self, dag_id: str) -> None:
        until(f"DAG {dag_id}", lambda: self.airflow.dag(dag_id))
        self.airflow.unpause(dag_id)
        body = {"dag_run_id": RUN, "logical_date": datetime.now(UTC).isoformat(), "conf": {}}
        self.send("POST", f"/api/v2/dags/{dag_id}/dagRuns", body)

    def send(self, method: str, path: str, body: dict[str, Any]) -> None:
        """A request that is sent again as long as Airflow's SQLite is locked by others."""

        def sent() -> bool:
            try:
                self.airflow._send(method, path, body)
            except AirflowError as error:
                if "Database error" in str(error):
                    return False
                raise
            return True

        until(f"{method} {path}", sent)

    def task(self, dag_id: str, task_id: str) -> dict[str, Any]:
        return next(each for each in self.airflow.task_instances(dag_id, RUN) if each["task_id"] == task_id)

    def wait(self, dag_id: str) -> dict[str, Any]:
        """The task instance of the wait."""
        return self.task(dag_id, WAIT)

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

    def in_gap(self, dag_id: str) -> None:
        """Returns once the start has succeeded, its job runs, and the wait has its turn, which never comes."""
        until(f"start of {dag_id}", lambda: self.task(dag_id, START)["state"] == "success")
        until(f"wait of {dag_id}", lambda: self.wait(dag_id)["state"] == "scheduled")
        self.job(dag_id)

    def untaken(self, dag_id: str) -> None:
        """Returns once the wait is deferred and the job runs."""
        until(f"deferral of {dag_id}", lambda: self.wait(dag_id)["state"] == "deferred")
        self.job(dag_id)

    def stopped(self, dag_id: str, seconds: float = STOP_SECONDS) -> str:
        """The cause of the stop, once execution and job have ended and the task's log or the audit log says so."""
        cause = self.ended(dag_id, f"{WAIT} of run {RUN}, try 1", seconds)
        # A triggerer that is slow to take it up, or to ask Airflow why it ended, leaves it to the listener.
        line = f"stopping {self.arn(dag_id)}"
        until(f"log of {dag_id}", lambda: line in self.log(dag_id) or self.audit(dag_id), STOP_TIMEOUT_SECONDS)
        return cause

    def ended(self, dag_id: str, task: str, seconds: float = STOP_SECONDS) -> str:
        """The cause of the stop, once execution and job have ended; it names ``task``."""
        until(f"stop of {dag_id}", lambda: self.execution(dag_id)["status"] == "ABORTED", seconds)
        job = self.job(dag_id)
        until(
            f"stop of {job}",
            lambda: self.sagemaker.describe_processing_job(ProcessingJobName=job)["ProcessingJobStatus"] == "Stopped",
            seconds,
        )
        execution = self.execution(dag_id)
        assert execution["error"].startswith("stepbridge.")
        assert f"task {dag_id}.{task}" in execution["cause"]
        return str(execution["cause"])

    def audit(self, dag_id: str) -> list[str]:
        """What the audit log says of stops by the API server and the scheduler."""
        entries = self.airflow._send("GET", f"/api/v2/eventLogs?dag_id={dag_id}&event=stepbridge_stop") or {}
        return [entry["extra"] for entry in entries["event_logs"]]

    def mark(self, dag_id: str, state: str, task_id: str = WAIT) -> None:
        path = f"/api/v2/dags/{dag_id}/dagRuns/{RUN}/taskInstances/{task_id}"
        self.send("PATCH", path, {"new_state": state})

    def mark_run(self, dag_id: str, state: str) -> None:
        self.send("PATCH", f"/api/v2/dags/{dag_id}/dagRuns/{RUN}", {"state": state})

    def clear_run(self, dag_id: str) -> None:
        body = {"dry_run": False, "only_failed": False}
        self.send("POST", f"/api/v2/dags/{dag_id}/dagRuns/{RUN}/clear", body)

    def clear(self, dag_id: str) -> None:
        body = {"dag_run_id": RUN, "dry_run": False, "only_failed": False, "task_ids": [WAIT]}
        self.send("POST", f"/api/v2/dags/{dag_id}/clearTaskInstances", body)


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
