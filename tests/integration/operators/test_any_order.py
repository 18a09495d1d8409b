"""Starts, retries, clears, kills, marks and faults in any order, against the local AWS by Airflow's own task runner.

A crash of a worker is a lost answer here: the call arrived, and what made it knows nothing of it and runs no more.
``STEPBRIDGE_ANY_ORDER`` is how many examples are tried; 10 by default.
"""

from __future__ import annotations

import itertools
import os
import signal
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from airflow.sdk import DAG
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from stepbridge.core.deployment import Deployment
from stepbridge.listeners.stop_decision import EndNotice
from stepbridge.listeners.stop_executions import stop_abandoned_executions
from stepbridge.operators.start_execution import StartExecutionOperator
from stepbridge.sensors.execution import ExecutionSensor

from .airflow_runs import AirflowRuns, synced
from .controlled_machine import ControlledMachine
from .fault_proxy import FaultProxy, states_through
from .start_model import Known, Model
from .task_tries import TaskTries

EXAMPLES = int(os.environ.get("STEPBRIDGE_ANY_ORDER", "10"))
STEPS = 16
START, WAIT = "start_execution", "wait_for_execution"
KILLS = ("kill before", "kill after")
FAULTS = ("throttle", "deny", "lose", *KILLS)
_numbers = itertools.count(1)


class Bench:
    """What all examples share: the DAG, the local AWS behind the proxy, clients that go past it."""

    def __init__(self, proxy: FaultProxy, deployment: Deployment, machines: Any, s3: Any) -> None:
        self.proxy, self.deployment, self.machines, self.s3 = proxy, deployment, machines, s3
        values = {
            "input_uri": f"s3://{deployment.bucket}/in/",
            "output_uri": f"s3://{deployment.bucket}/any-order/",
            "stages": ["preprocessing"],
        }
        s3.put_object(Bucket=deployment.bucket, Key="in/day.txt", Body=b"day\n")  # nothing is started without an input
        edition = {"EDITION": "{{ var.value.any_order_edition }}"}
        with DAG("any-order", schedule=None, default_args={"retries": 1000, "retry_delay": 0}) as self.dag:
            start = StartExecutionOperator(
                task_id=START,
                model="any",
                image_uri=None,
                code_uri=f"s3://{deployment.bucket}/code/",
                parameters=values,
                environment=edition,
            )
            ExecutionSensor(task_id=WAIT, execution_arn=start.output, allow_empty_output=True)
        synced(self.dag)

    def machine(self) -> ControlledMachine:
        """A state machine of its own, which the next starts use."""
        machine = ControlledMachine(self.machines, self.s3, self.deployment.bucket, f"any-order-{next(_numbers)}")
        deployment = self.deployment.model_copy(update={"state_machine_arn": machine.arn})
        os.environ["AIRFLOW_VAR_STEPBRIDGE"] = deployment.to_json()
        return machine


class Struck:
    """One fault at the first call of one operation, and what was seen of it."""

    def __init__(self, proxy: FaultProxy, operation: str, fault: str) -> None:
        self.proxy, self.operation, self.fault, self.struck = proxy, operation, fault, False
        self.name = ""

    @contextmanager
    def set(self) -> Iterator[None]:
        self.proxy.names_started.clear()
        self.proxy.verdict, self.proxy.carried_out = self._verdict, self._carried_out
        try:
            yield
        finally:
            self.proxy.verdict = lambda _operation, _count: "pass"
            self.proxy.carried_out = lambda _operation, _count: None

    def _verdict(self, operation: str, _count: int) -> str:
        if operation != self.operation or self.struck or not self.fault:
            return "pass"
        self.struck = True
        self.name = self.proxy.names_started[-1] if operation == "StartExecution" else ""
        if self.fault == "kill before":
            self._kill()
        return "pass" if self.fault in KILLS else self.fault

    def _carried_out(self, operation: str, _count: int) -> None:
        if operation == self.operation and self.struck and self.fault == "kill after":
            self.fault = "killed after"
            self._kill()

    def _kill(self) -> None:
        """SIGTERM; the answer is on its way until the task has tried to stop what it started."""
        executions_to_stop = self.proxy.calls["StopExecution"]
        os.kill(os.getpid(), signal.SIGTERM)
        deadline = time.monotonic() + 30
        while self.proxy.calls["StopExecution"] == executions_to_stop:
            assert time.monotonic() < deadline, "the kill stopped nothing: it waits for the answer"
            time.sleep(0.01)


class AnyOrder(RuleBasedStateMachine):
    """One DAG run of one model; ``bench`` is set by the test."""

    bench: Bench

    @initialize()
    def begin(self) -> None:
        self.machine = self.bench.machine()
        self.run = TaskTries(self.bench.dag, f"run-{uuid.uuid4().hex[:8]}")
        self.model = Model()
        self.start_state, self.wait_state = "", ""
        self.redrives_at_success: dict[str, int] = {}
        os.environ["AIRFLOW_VAR_ANY_ORDER_EDITION"] = "0"

    def teardown(self) -> None:
        if hasattr(self, "machine"):
            self.machine.close()

    # --- what happens to it -------------------------------------------------------------------------------------------
    @precondition(lambda self: self.start_state in {"", "up_for_retry"})
    @rule(operation=st.sampled_from(("StartExecution", "RedriveExecution")), fault=st.sampled_from(("", "", *FAULTS)))
    def start(self, operation: str, fault: str) -> None:
        """A try of start_execution, with a fault at its first call of an operation."""
        self._tried(Struck(self.bench.proxy, operation, fault))

    @precondition(lambda self: self.start_state in {"", "up_for_retry"})
    @rule(fault=st.sampled_from(("throttle", "deny", "lose")))
    def start_that_cannot_look(self, fault: str) -> None:
        """A try that can't describe what it finds does nothing about it."""
        self._tried(Struck(self.bench.proxy, "DescribeExecution", fault))

    @precondition(lambda self: self.start_state == "success" and self.wait_state in {"", "up_for_retry"})
    @rule()
    def wait(self) -> None:
        """A try of wait_for_execution; the first one leaves it to its trigger to look."""
        state = self.run.next_try(WAIT)
        self.wait_state = "deferred" if self.run.tried(WAIT) == 1 else self._waited(first=False)
        assert state == self.wait_state

    @precondition(lambda self: self.wait_state == "deferred" and not self.model.running())
    @rule()
    def trigger_fires(self) -> None:
        """The deferred wait goes on."""
        chosen = self._chosen()
        state = self.run.resumed(WAIT, {"execution_arn": chosen.arn, "status": chosen.status, "fault": ""})
        self.wait_state = self._waited(first=True)
        assert state == self.wait_state

    @precondition(lambda self: self.model.running())
    @rule(word=st.sampled_from(("go", "fail")))
    def execution_ends(self, word: str) -> None:
        [running] = self.model.running()
        self.machine.let_end(running.arn, word)
        running.status = {"go": "SUCCEEDED", "fail": "FAILED"}[word]

    @precondition(lambda self: [each for each in self.model.known if each.standing in {"FAILED", "ABORTED"}])
    @rule()
    def redrive_becomes_impossible(self) -> None:
        """As after 14 days."""
        for each in self.model.known:
            if each.standing in {"FAILED", "ABORTED"}:
                each.dead = True
                self.bench.proxy.not_redrivable.add(each.arn)

    @rule()
    def clear(self) -> None:
        self.run.clear()
        self.model.clears += 1
        self.start_state = self.wait_state = ""

    @rule()
    def change_input(self) -> None:
        self.model.edition ^= 1
        os.environ["AIRFLOW_VAR_ANY_ORDER_EDITION"] = str(self.model.edition)

    @precondition(lambda self: self.model.known and {self.start_state, self.wait_state} - {"success", "failed"})
    @rule()
    def mark_run_failed(self) -> None:
        """By a user, with no worker and no triggerer to see it: nothing is left running."""
        self.run.mark_failed()
        waited_well = self.wait_state == "success"
        assert stop_abandoned_executions(
            EndNotice(self.bench.dag.dag_id, self.run.run_id, "ended: its run was marked as failed")
        )
        for each in self.model.running():
            if not waited_well:
                each.stopped()
        self.start_state, self.wait_state = self.run.state(START), self.run.state(WAIT)

    # --- what has to come of it ---------------------------------------------------------------------------------------
    def _tried(self, struck: Struck) -> None:
        decision, target = self.model.decision(), self.model.latest()
        before = self.machine.executions()
        with struck.set():
            state = self.run.next_try(START)
        new = [arn for arn in self.machine.executions() if arn not in before]
        fault = struck.fault if struck.struck and struck.fault != "kill after" else ""  # else it has killed by now
        self.start_state = self._outcome(decision, target, new, struck, fault)
        assert state == self.start_state, (decision, fault, struck.operation)
        if state == "success":
            assert self.run.xcom(START) == self._chosen().arn

    def _outcome(self, decision: str, target: Known | None, new: list[str], struck: Struck, fault: str) -> str:
        """The task's state; the model is brought to what has to be by now."""
        looked_only = struck.operation == "DescribeExecution"
        if fault and looked_only:
            self._superseded_perhaps(target)
            assert not new
            return "up_for_retry"
        if decision == "start":
            return self._started(new, struck, fault)
        assert target
        assert not new
        self._superseded(target)
        if decision == "adopt":
            return self._adopted(target, fault)
        self.model.taken_up()
        if not fault:
            target.redriven()
        elif struck.operation == "RedriveExecution" and fault not in {"throttle", "deny"}:
            target.redriven()
            if "kill" in fault:
                target.stopped()
        self.model.chosen = target
        return "up_for_retry" if fault else "success"

    def _started(self, new: list[str], struck: Struck, fault: str) -> str:
        """A new execution, unless the call that makes it, or one before it, was kept from being made."""
        if fault and (struck.operation == "RedriveExecution" or not new):
            assert not new
            self._superseded_perhaps(None)
            return "up_for_retry"
        [arn] = new
        self._superseded(None)
        self.model.chosen = begun = self.model.begun(arn)
        if "kill" in fault:
            begun.stopped()
        return "up_for_retry" if fault else "success"

    def _adopted(self, target: Known, fault: str) -> str:
        """What runs goes on; but a call that starts what runs already is a start, and a kill ends it."""
        self.model.taken_up()
        self.model.chosen = target
        if "kill" in fault:
            was_running = target.status == "RUNNING"
            target.stopped()
            return "up_for_retry" if was_running else "success"
        return "up_for_retry" if fault else "success"

    def _waited(self, *, first: bool) -> str:
        chosen = self._chosen()
        if chosen.status == "SUCCEEDED":
            return "success"
        if chosen.status != "RUNNING":
            if chosen.dead or (first and chosen.status == "FAILED"):
                return "up_for_retry"
            chosen.redriven()
        return "deferred"

    def _superseded(self, target: Known | None) -> None:
        """No other execution of the run goes on."""
        for each in self.model.running():
            if each is not target:
                each.stopped()

    def _superseded_perhaps(self, target: Known | None) -> None:
        """A try that failed early may have stopped what runs with another input, and nothing else."""
        seen = self.machine.executions()
        for each in self.model.running():
            if each is not target and each.edition != self.model.edition and seen[each.arn].status == "ABORTED":
                each.stopped()

    def _chosen(self) -> Known:
        assert self.model.chosen
        return self.model.chosen

    # --- always -------------------------------------------------------------------------------------------------------
    @invariant()
    def executions_are_as_the_table_has_them(self) -> None:
        """Status and redrives of each, no others; at most one runs; what has succeeded is never redriven."""
        if not hasattr(self, "machine"):
            return
        seen = self.machine.executions()
        expected = {each.arn: (each.status, each.redrives) for each in self.model.known}
        assert {arn: (each.status, each.redrives) for arn, each in seen.items()} == expected
        assert len(self.model.running()) <= 1
        for arn, each in seen.items():
            if each.status == "SUCCEEDED":
                assert each.redrives == self.redrives_at_success.setdefault(arn, each.redrives)
            assert arn not in self.redrives_at_success or each.status == "SUCCEEDED"

    @invariant()
    def a_stage_that_has_completed_is_not_run_again(self) -> None:
        """Once in each execution, however often that is redriven."""
        if hasattr(self, "machine"):
            for each in self.model.known:
                assert self.machine.first_stages(each.arn) <= 1


@pytest.fixture
def bench(
    endpoint_url: str, airflow: AirflowRuns, deployment: Deployment, session: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Bench]:
    """Step Functions through the proxy, without botocore's own retries; SIGTERM is given back afterwards."""
    _ = airflow
    before = signal.getsignal(signal.SIGTERM)
    with FaultProxy(endpoint_url).running() as proxy:
        monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", states_through(proxy, endpoint_url))
        monkeypatch.setenv("AIRFLOW_VAR_ANY_ORDER_EDITION", "0")
        clients = [session.client(name, endpoint_url=endpoint_url) for name in ("stepfunctions", "s3")]
        yield Bench(proxy, deployment, *clients)
    signal.signal(signal.SIGTERM, before)


@pytest.mark.timeout(0)  # as long as the number of examples needs
def test_one_execution_stands_for_the_run_whatever_happens(bench: Bench) -> None:
    """Every history ends in what the model of starts says."""
    AnyOrder.bench = bench
    health = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
    run_state_machine_as_test(
        AnyOrder,
        settings=settings(
            max_examples=EXAMPLES, stateful_step_count=STEPS, deadline=None, suppress_health_check=health, database=None
        ),
    )


HISTORIES = {
    "the record of an earlier try is gone while the next one looks": [
        ("clear",), ("start", "StartExecution", "lose"), ("start_that_cannot_look", "throttle"), ("mark_run_failed",),
        ("clear",), ("start", "StartExecution", ""), ("execution_ends", "go"), ("wait",),
        ("trigger_fires",),
    ],
    "the input is changed, and changed back, between tries": [
        ("start", "StartExecution", "lose"), ("change_input",), ("start", "StartExecution", "lose"), ("change_input",),
        ("start", "StartExecution", ""), ("wait",), ("execution_ends", "fail"), ("trigger_fires",), ("wait",),
        ("execution_ends", "go"), ("trigger_fires",), ("clear",), ("start", "StartExecution", ""),
    ],
    "what this clear redrove has succeeded by the time that its input is back": [
        ("start", "StartExecution", "lose"), ("execution_ends", "fail"), ("change_input",),
        ("start", "StartExecution", "lose"), ("execution_ends", "fail"), ("change_input",), ("clear",),
        ("start", "RedriveExecution", "lose"), ("execution_ends", "go"), ("change_input",),
        ("start", "RedriveExecution", "lose"), ("execution_ends", "go"), ("change_input",),
        ("start", "StartExecution", ""), ("wait",), ("trigger_fires",),
    ],
    "no redrive is possible any more": [
        ("start", "StartExecution", "kill after"), ("redrive_becomes_impossible",), ("start", "StartExecution", "lose"),
        ("start", "StartExecution", "kill before"), ("clear",), ("start", "RedriveExecution", "kill after"),
        ("redrive_becomes_impossible",), ("start", "StartExecution", ""), ("execution_ends", "go"), ("wait",),
        ("trigger_fires",),
    ],
}  # fmt: skip


@pytest.mark.parametrize("history", HISTORIES.values(), ids=list(HISTORIES))
def test_histories_that_are_rare(bench: Bench, history: list[tuple[str, ...]]) -> None:
    """Step by step, with all that has to be true after each."""
    AnyOrder.bench = bench
    steps = AnyOrder()
    try:
        steps.begin()
        for name, *arguments in history:
            getattr(steps, name)(*arguments)
            steps.executions_are_as_the_table_has_them()
            steps.a_stage_that_has_completed_is_not_run_again()
    finally:
        steps.teardown()
