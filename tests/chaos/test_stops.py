"""What ends a run ends its execution and its job; a crash ends and starts nothing. One real Airflow, one site."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.chaos.sleeping_runs import (
    CLOSED,
    DAGS,
    IN_GAP,
    IN_TRIGGERER,
    RUN,
    SCRIPT,
    START,
    STOP_SECONDS,
    UNTAKEN,
    WAIT,
    SleepingRuns,
    components,
    until,
)

from stepbridge.cli.local_site.local_aws import local_session
from stepbridge.cli.local_site.site import RunningSite
from stepbridge.listeners.delayed_checks import GRACE_SECONDS

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("stops")]


@pytest.fixture(scope="module")
def add_models(project: Path) -> None:
    """Only models that sleep, and a scikit-learn image that takes no time to build."""
    for card in (project / "dags/models").iterdir():
        card.unlink()
    (project / "dags/sleepers.py").write_text(DAGS)
    (project / "containers/scikit_learn/Dockerfile").write_text('FROM python:3-slim\nENTRYPOINT ["python3"]\n')


@pytest.fixture(scope="module")
def runs(site: RunningSite) -> Iterator[SleepingRuns]:
    """Runs of all that waits in the triggerer are started at once: they wait side by side."""
    session = local_session()
    clients = {
        name: session.client(name, endpoint_url=site.aws_endpoint_url) for name in ("s3", "stepfunctions", "sagemaker")
    }
    bucket = site.stack().bucket
    clients["s3"].put_object(Bucket=bucket, Key="in/day.txt", Body=b"day\n")
    clients["s3"].put_object(Bucket=bucket, Key="code/preprocessing.py", Body=SCRIPT.encode())
    runs = SleepingRuns(site.airflow(), clients["stepfunctions"], clients["sagemaker"])
    runs.send("POST", "/api/v2/pools", {"name": CLOSED, "slots": 0})
    for dag_id in IN_TRIGGERER:
        runs.start(dag_id)
    yield runs
    runs.airflow.close()


def test_marked_failed_while_deferred(runs: SleepingRuns) -> None:
    """The triggerer stops the execution and says for whom and why."""
    runs.watched("marked_failed")
    runs.mark("marked_failed", "failed")
    assert "marked as failed" in runs.stopped("marked_failed")


def test_cleared_while_deferred(runs: SleepingRuns) -> None:
    """Airflow ends the trigger when the next try is there, which redrives what is stopped for the clear."""
    runs.watched("cleared")
    runs.clear("cleared")
    until("redrive", lambda: runs.execution("cleared")["redriveCount"] == 1, 2 * STOP_SECONDS)
    events = runs.machines.get_execution_history(executionArn=runs.arn("cleared"), maxResults=1000)["events"]
    [abort] = [event["executionAbortedEventDetails"] for event in events if event["type"] == "ExecutionAborted"]
    assert f"task cleared.{WAIT} of run {RUN}, try 1 was cleared" in abort["cause"]
    job = runs.sagemaker.describe_processing_job(ProcessingJobName=runs.job("cleared"))
    assert job["ProcessingJobStatus"] == "Stopped"
    until("wait", lambda: runs.wait("cleared")["state"] == "deferred")
    assert runs.execution("cleared")["status"] == "RUNNING"


def test_marked_success_while_deferred(runs: SleepingRuns) -> None:
    """A user who calls the wait done has nothing against the work: the log says that it goes on."""
    runs.watched("marked_success")
    runs.mark("marked_success", "success")
    until("log", lambda: "marked as a success" in runs.log("marked_success"))
    assert runs.execution("marked_success")["status"] == "RUNNING"


def test_timeouts_of_deferral_and_dag_run(runs: SleepingRuns) -> None:
    """Both stop what is waited for, each with its own cause."""
    assert "timeout of its DAG run" in runs.stopped("run_timeout", 75 + STOP_SECONDS)
    assert "did not end within 30" in runs.stopped("deferral_timeout", 30 + STOP_SECONDS)
    assert runs.airflow.dag_run("run_timeout", RUN)["state"] == "failed"


def test_ended_in_the_worker(runs: SleepingRuns) -> None:
    """Marked failed, and past the task's timeout, while a worker waits."""
    for dag_id in ("worker_marked", "task_timeout"):
        runs.start(dag_id)
    runs.works("worker_marked")
    runs.mark("worker_marked", "failed")
    assert "killed in the worker: marked as failed" in runs.stopped("worker_marked")
    assert "execution_timeout" in runs.stopped("task_timeout")


def test_a_worker_that_is_drained_stops_and_starts_nothing(runs: SleepingRuns) -> None:
    """SIGTERM to the worker, which Airflow hands on to the task: nobody has ended that; then somebody does."""
    runs.start("worker_drained")
    runs.works("worker_drained")
    task = runs.wait("worker_drained")["pid"]
    fields = Path(f"/proc/{task}/stat").read_text().rpartition(")")[2].split()
    os.kill(int(fields[1]), signal.SIGTERM)  # its supervisor
    until("log", lambda: "the worker was told to end" in runs.log("worker_drained"))
    execution = runs.execution("worker_drained")
    assert (execution["status"], execution["redriveCount"]) == ("RUNNING", 0)
    runs.mark("worker_drained", "failed")
    assert "killed in the worker: marked as failed" in runs.stopped("worker_drained")


def test_a_crash_of_the_worker_stops_and_starts_nothing(runs: SleepingRuns) -> None:
    """The next try waits for what runs."""
    runs.start("worker_sigkill")
    runs.works("worker_sigkill")
    os.kill(runs.wait("worker_sigkill")["pid"], signal.SIGKILL)
    until("next try", lambda: runs.wait("worker_sigkill")["try_number"] == 2)
    until("running", lambda: runs.wait("worker_sigkill")["state"] == "running")
    assert runs.execution("worker_sigkill")["status"] == "RUNNING"
    assert runs.execution("worker_sigkill")["redriveCount"] == 0


def test_each_run_had_one_execution(runs: SleepingRuns) -> None:
    """Nothing of all that started a second one."""
    machine = runs.arn("cleared").replace(":execution:", ":stateMachine:").rpartition(":")[0]
    pages = runs.machines.get_paginator("list_executions").paginate(stateMachineArn=machine)
    names = [item["name"].rsplit("-", 1)[0] for page in pages for item in page["executions"]]
    assert sorted(names) == sorted(set(names)), json.dumps(names)


def test_marked_before_the_wait_begins(runs: SleepingRuns) -> None:
    """No worker and no triggerer has it: the API server stops it, says who and why, and the audit log has it."""
    for dag_id in (*IN_GAP, "gap_run_timeout"):  # some of them for the next tests
        runs.start(dag_id)
    for dag_id in ("gap_wait_failed", "gap_start_failed", "gap_run_failed"):
        runs.in_gap(dag_id)
    runs.mark("gap_wait_failed", "failed")
    runs.mark("gap_start_failed", "failed", START)
    runs.mark_run("gap_run_failed", "failed")
    assert "was marked as failed by admin" in runs.ended("gap_wait_failed", f"{WAIT} of run {RUN}, try 1")
    assert "was marked as failed by admin" in runs.ended("gap_start_failed", f"{START} of run {RUN}, try 1")
    assert "its run was marked as failed by admin" in runs.ended("gap_run_failed", f"{WAIT} of run {RUN}, try 1")
    [line] = until("audit log", lambda: runs.audit("gap_wait_failed"))
    assert line.startswith(f"stopped {runs.arn('gap_wait_failed')}: task gap_wait_failed.{WAIT}")


def test_the_run_times_out_before_the_wait_begins(runs: SleepingRuns) -> None:
    """The scheduler stops it."""
    cause = runs.ended("gap_run_timeout", f"{WAIT} of run {RUN}, try 1", 50 + STOP_SECONDS)
    assert "timeout of its DAG run" in cause


def test_marked_as_success_or_cleared_before_the_wait_begins(runs: SleepingRuns) -> None:
    """The one has nothing against the work, the other wants it anew: what runs is superseded."""
    runs.in_gap("gap_success")
    runs.in_gap("gap_cleared")
    runs.mark("gap_success", "success")
    superseded = runs.arn("gap_cleared")
    runs.clear_run("gap_cleared")
    until("new start", lambda: runs.task("gap_cleared", START)["try_number"] == 2)
    runs.in_gap("gap_cleared")
    assert runs.arn("gap_cleared") != superseded
    old = runs.machines.describe_execution(executionArn=superseded)
    assert (old["status"], old["error"], old["redriveCount"]) == ("ABORTED", "stepbridge.Superseded", 0)
    runs.mark("gap_wait_failed", "success")  # what was stopped stays stopped
    runs.mark_run("gap_run_failed", "failed")
    time.sleep(GRACE_SECONDS + 2)  # by then every noted stop has been checked
    for dag_id in ("gap_success", "gap_cleared"):
        execution = runs.execution(dag_id)
        assert (execution["status"], execution["redriveCount"]) == ("RUNNING", 0)
        assert runs.audit(dag_id) == []


def test_a_wait_that_was_stopped_before_it_began_goes_on_when_it_is_cleared(runs: SleepingRuns) -> None:
    """What the API server has stopped is redriven by what comes after."""
    runs.send("PATCH", f"/api/v2/pools/{CLOSED}", {"name": CLOSED, "slots": 4, "include_deferred": False})
    runs.clear("gap_run_failed")
    until("redrive", lambda: runs.execution("gap_run_failed")["redriveCount"] == 1)
    until("wait", lambda: runs.wait("gap_run_failed")["state"] == "deferred")
    assert runs.execution("gap_run_failed")["status"] == "RUNNING"


@contextmanager
def frozen(pids: list[int]) -> Iterator[None]:
    """The processes do nothing within the block."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def test_ended_while_deferred_with_no_triggerer_at_work(runs: SleepingRuns, project: Path) -> None:
    """Nobody has taken up the trigger: API server and scheduler stop what it would have waited for."""
    with frozen(components(project, "triggerer")):
        for dag_id in UNTAKEN:
            runs.start(dag_id)
        for dag_id in UNTAKEN:
            runs.untaken(dag_id)
        runs.mark("untaken_failed", "failed")
        runs.mark_run("untaken_run_failed", "failed")
        assert "was marked as failed by admin" in runs.ended("untaken_failed", f"{WAIT} of run {RUN}, try 1")
        assert "was marked as failed by admin" in runs.ended("untaken_run_failed", f"{WAIT} of run {RUN}, try 1")
        cause = runs.ended("untaken_timeout", f"{WAIT} of run {RUN}, try 1", 50 + STOP_SECONDS)
        assert "timeout of its DAG run" in cause


def test_a_drained_triggerer_and_a_crashed_scheduler_stop_and_start_nothing(runs: SleepingRuns, project: Path) -> None:
    """The site starts them again, and they go on with the wait; a stop works as before."""
    runs.watched("crashed")
    for name, end_with in (("triggerer", signal.SIGTERM), ("scheduler", signal.SIGKILL)):
        ended = set(components(project, name))
        for pid in ended:
            os.kill(pid, end_with)
        until(
            f"another {name}",
            lambda name=name, ended=ended: (now := set(components(project, name))) and not now & ended,
        )
    until("watching again", lambda: runs.log("crashed").count(") starting") == 2)
    execution = runs.execution("crashed")
    assert (execution["status"], execution["redriveCount"]) == ("RUNNING", 0)
    assert runs.wait("crashed")["state"] == "deferred"
    runs.mark("crashed", "failed")
    assert "marked as failed" in runs.stopped("crashed")
