"""Starts, retries, clears, kills, marks and faults in any order, against the local AWS by Airflow's own task runner.

A crash of a worker is a lost answer here: the call arrived, and what made it knows nothing of it and runs no more.
3 examples are tried in `make test`; in `make test-all` as many as ``STEPBRIDGE_ANY_ORDER`` says, 12 by default.
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

from .airflow_runs import AirflowRuns, restarting, synced
from .controlled_machine import ControlledMachine
from .expected_executions import ExpectedExecutions, KnownExecution
from .fault_proxy import FaultProxy, states_through
from .task_tries import TaskTries

FEW_EXAMPLES = 3
MANY_EXAMPLES = int(os.environ.get("STEPBRIDGE_ANY_ORDER", "12"))
STEPS = 16
START, WAIT = "start_execution", "wait_for_execution"
KILLS = ("kill before", "kill after")
FAULTS = ("throttle", "deny", "lose", *KILLS)
_numbers = itertools.count(1)


class Environment:
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


class InjectedFault:
    """One fault at the first call of one operation, and what was seen of it."""

    def __init__(self, proxy: FaultProxy, operation: str, fault: str) -> None:
        self.proxy, self.operation, self.fault, self.done = proxy, operation, fault, False
        self.name = ""

    @contextmanager
    def active(self) -> Iterator[None]:
        self.proxy.names_started.clear()
        self.proxy.fault_for, self.proxy.carried_out = self._fault_for, self._carried_out
        try:
            yield
        finally:
            self.proxy.fault_for = lambda _operation, _count: "pass"
            self.proxy.carried_out = lambda _operation, _count: None

    def _fault_for(self, operation: str, _count: int) -> str:
        if operation != self.operation or self.done or not self.fault:
            return "pass"
        self.done = True
        self.name = self.proxy.names_started[-1] if operation == "StartExecution" else ""
        if self.fault == "kill before":
            self._kill()
        return "pass" if self.fault in KILLS else self.fault

    def _carried_out(self, operation: str, _count: int) -> None:
        if operation == self.operation and self.done and self.fault == "kill after":
            self.fault = "killed after"
            self._kill()

    def _kill(self) -> None:
        """As a user who clears the task; the answer is on its way until the task has tried to stop what it started."""
        restarting(START)
        executions_to_stop = self.proxy.calls["StopExecution"]
        os.kill(os.getpid(), signal.SIGTERM)
        deadline = time.monotonic() + 30
        while self.proxy.calls["StopExecution"] == executions_to_stop:
            assert time.monotonic() < deadline, "the kill stopped nothing: it waits for the answer"
            time.sleep(0.01)


class AnyOrder(RuleBasedStateMachine):
    """One DAG run of one model; ``environment`` is set by the test."""

    environment: Environment

    @initialize()
    def begin(self) -> None:
        self.machine = self.environment.machine()
        self.run = TaskTries(self.environment.dag, f"run-{uuid.uuid4().hex[:8]}")
        self.expected = ExpectedExecutions()
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
        self._tried(InjectedFault(self.environment.proxy, operation, fault))

    @precondition(lambda self: self.start_state in {"", "up_for_retry"})
    @rule(fault=st.sampled_from(("throttle", "deny", "lose")))
    def start_that_cannot_describe(self, fault: str) -> None:
        """A try that can't describe what it finds does nothing."""
        self._tried(InjectedFault(self.environment.proxy, "DescribeExecution", fault))

    @precondition(lambda self: self.start_state == "success" and self.wait_state in {"", "up_for_retry"})
    @rule()
    def wait(self) -> None:
        """A try of wait_for_execution; the first one leaves it to its trigger to describe."""
        state = self.run.next_try(WAIT)
        self.wait_state = "deferred" if self.run.tried(WAIT) == 1 else self._waited(resumed=False)
        assert state == self.wait_state

    @precondition(
        lambda self: self.wait_state == "deferred" and self.start_state == "success" and not self.expected.running()
    )
    @rule()
    def trigger_fires(self) -> None:
        """The deferred wait goes on."""
        chosen = self._chosen()
        state = self.run.resumed(WAIT, {"execution_arn": chosen.arn, "status": chosen.status, "fault": ""})
        self.wait_state = self._waited(resumed=True)
        assert state == self.wait_state

    @precondition(lambda self: self.expected.running())
    @rule(word=st.sampled_from(("go", "fail")))
    def execution_ends(self, word: str) -> None:
        [running] = self.expected.running()
        self.machine.let_end(running.arn, word)
        running.status = {"go": "SUCCEEDED", "fail": "FAILED"}[word]

    @precondition(lambda self: [each for each in self.expected.known if each.condition in {"FAILED", "ABORTED"}])
    @rule()
    def redrive_becomes_impossible(self) -> None:
        """As after 14 days."""
        for each in self.expected.known:
            if each.condition in {"FAILED", "ABORTED"}:
                each.dead = True
                self.environment.proxy.not_redrivable.add(each.arn)

    @rule()
    def clear(self) -> None:
        self.run.clear()
        self.expected.cleared = self.expected.latest is not None
        self.start_state = self.wait_state = ""

    @precondition(lambda self: self.start_state)
    @rule()
    def clear_start(self) -> None:
        """Without its wait."""
        self.run.clear(START)
        self.expected.cleared = self.expected.latest is not None
        self.start_state = ""

    @precondition(lambda self: self.wait_state and self.wait_state != "deferred")
    @rule()
    def clear_wait(self) -> None:
        self.run.clear(WAIT)
        self.wait_state = ""

    @rule()
    def change_input(self) -> None:
        self.expected.edition ^= 1
        os.environ["AIRFLOW_VAR_ANY_ORDER_EDITION"] = str(self.expected.edition)

    @precondition(lambda self: self.expected.known and {self.start_state, self.wait_state} - {"success", "failed"})
    @rule()
    def mark_run_failed(self) -> None:
        """By a user, with no worker and no triggerer to see it: nothing is left running."""
        self.run.mark_failed()
        waited_well = self.wait_state == "success"
        assert stop_abandoned_executions(
            EndNotice(self.environment.dag.dag_id, self.run.run_id, "ended: its run was marked as failed")
        )
        for each in self.expected.running():
            if not waited_well:
                each.stopped()
        self.start_state, self.wait_state = self.run.state(START), self.run.state(WAIT)

    # --- what has to come of it ---------------------------------------------------------------------------------------
    def _tried(self, injected: InjectedFault) -> None:
        decision, latest = self.expected.decision(), self.expected.latest
        before = self.machine.executions()
        with injected.active():
            state = self.run.next_try(START)
        new = [arn for arn in self.machine.executions() if arn not in before]
        fault = injected.fault if injected.done and injected.fault != "kill after" else ""  # else it has killed by now
        self.start_state = self._outcome(decision, latest, new, injected.operation, fault)
        assert state == self.start_state, (decision, fault, injected.operation)
        if state == "success":
            assert self.run.xcom(START) == self._chosen().arn

    def _outcome(self, decision: str, latest: KnownExecution | None, new: list[str], operation: str, fault: str) -> str:
        """The task's state; the model is brought to what has to be by now."""
        if fault and operation == "DescribeExecution":
            assert not new
            return _after(fault)
        if decision == "start anew" and self.wait_state not in {"", "up_for_retry"}:
            assert not new
            return "failed"  # nobody would wait for what it would start
        if decision in {"start", "replace", "start anew"}:
            return self._started(new, fault)
        assert latest
        assert not new
        if decision == "redrive" and not (operation == "RedriveExecution" and fault in {"throttle", "deny"}):
            latest.redriven()
            if "kill" in fault:
                latest.stopped()
        return _after(fault)

    def _started(self, new: list[str], fault: str) -> str:
        """A new execution, unless the call that makes it was kept from arriving; what ran before is stopped for it."""
        assert len(new) == (0 if fault in {"throttle", "deny"} else 1)
        begun = self.expected.begun(*new or [""])
        if "kill" in fault:
            begun.stopped()
        return _after(fault)

    def _waited(self, *, resumed: bool) -> str:
        """A failure is reported before it is redriven; what was stopped for another try is redriven at once."""
        chosen = self._chosen()
        if chosen.status == "SUCCEEDED":
            return "success"
        if chosen.status == "RUNNING":
            return "deferred"
        failure = (chosen.arn, chosen.redrives)
        may_redrive = chosen.status == "ABORTED" or (not resumed and self.expected.reported == failure)
        if chosen.dead or chosen.superseded or not may_redrive:
            self.expected.reported = failure
            return "up_for_retry"
        chosen.redriven()
        return "deferred"

    def _chosen(self) -> KnownExecution:
        assert self.expected.latest
        return self.expected.latest

    # --- always -------------------------------------------------------------------------------------------------------
    @invariant()
    def executions_are_as_the_table_has_them(self) -> None:
        """Status and redrives of each, no others; at most one runs; what has succeeded is never redriven."""
        if not hasattr(self, "machine"):
            return
        seen = self.machine.executions()
        expected = {each.arn: (each.status, each.redrives) for each in self.expected.known}
        assert {arn: (each.status, each.redrives) for arn, each in seen.items()} == expected
        assert len(self.expected.running()) <= 1
        for arn, each in seen.items():
            if each.status == "SUCCEEDED":
                assert each.redrives == self.redrives_at_success.setdefault(arn, each.redrives)
            assert arn not in self.redrives_at_success or each.status == "SUCCEEDED"

    @invariant()
    def a_stage_that_has_completed_is_not_run_again(self) -> None:
        """Once in each execution, however often that is redriven."""
        if hasattr(self, "machine"):
            for each in self.expected.known:
                assert self.machine.first_stages(each.arn) <= 1


def _after(fault: str) -> str:
    """The state of a try of start_execution: a missing permission is not tried again, by the default policy."""
    return {"": "success", "deny": "failed"}.get(fault, "up_for_retry")


@pytest.fixture
def environment(
    endpoint_url: str, airflow: AirflowRuns, deployment: Deployment, session: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Environment]:
    """Step Functions through the proxy, without botocore's own retries; SIGTERM is given back afterwards."""
    _ = airflow
    before = signal.getsignal(signal.SIGTERM)
    with FaultProxy(endpoint_url).running() as proxy:
        monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", states_through(proxy, endpoint_url))
        monkeypatch.setenv("AIRFLOW_VAR_ANY_ORDER_EDITION", "0")
        clients = [session.client(name, endpoint_url=endpoint_url) for name in ("stepfunctions", "s3")]
        yield Environment(proxy, deployment, *clients)
    signal.signal(signal.SIGTERM, before)


@pytest.mark.timeout(0)  # as long as the number of examples needs
@pytest.mark.parametrize("examples", [FEW_EXAMPLES, pytest.param(MANY_EXAMPLES, marks=pytest.mark.long)])
def test_one_execution_stands_for_the_run_whatever_happens(environment: Environment, examples: int) -> None:
    """Every history ends in what the model of starts says."""
    AnyOrder.environment = environment
    health = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
    run_state_machine_as_test(
        AnyOrder,
        settings=settings(
            max_examples=examples, stateful_step_count=STEPS, deadline=None, suppress_health_check=health, database=None
        ),
    )


HISTORIES = {
    "the record of an earlier try is gone while the next one describes": [
        ("start", "StartExecution", "lose"), ("clear",), ("start_that_cannot_describe", "throttle"),
        ("mark_run_failed",), ("clear",), ("start", "StartExecution", ""), ("execution_ends", "go"), ("wait",),
        ("trigger_fires",),
    ],
    "the input is changed, and changed back, between tries": [
        ("start", "StartExecution", "lose"), ("change_input",), ("start", "StartExecution", "lose"), ("change_input",),
        ("start", "StartExecution", ""), ("wait",), ("execution_ends", "fail"), ("trigger_fires",), ("wait",),
        ("execution_ends", "go"), ("trigger_fires",), ("clear",), ("start", "StartExecution", ""),
    ],
    "it was cleared while it ran, and the call that starts the next one is lost, or never arrives": [
        ("start", "StartExecution", ""), ("clear",), ("start", "StartExecution", "throttle"),
        ("start", "StartExecution", "lose"), ("execution_ends", "fail"), ("start", "RedriveExecution", "lose"),
        ("execution_ends", "go"), ("start", "RedriveExecution", ""), ("clear_start",), ("start", "StartExecution", ""),
    ],
    "only the start is cleared, then the wait, too": [
        ("start", "StartExecution", ""), ("wait",), ("execution_ends", "fail"), ("trigger_fires",), ("wait",),
        ("execution_ends", "go"), ("trigger_fires",), ("clear_start",), ("start", "StartExecution", ""),
        ("clear_wait",), ("clear_start",), ("start", "StartExecution", ""), ("execution_ends", "fail"), ("wait",),
        ("clear_wait",), ("wait",), ("execution_ends", "fail"), ("trigger_fires",), ("clear_wait",), ("wait",),
    ],
    "its run is marked failed before anything waited, and only the start is cleared": [
        ("start", "StartExecution", "kill after"), ("mark_run_failed",), ("clear_start",),
        ("start", "StartExecution", ""),
    ],
    "no redrive is possible any more": [
        ("start", "StartExecution", "kill after"), ("redrive_becomes_impossible",), ("start", "StartExecution", "lose"),
        ("start", "StartExecution", ""), ("mark_run_failed",), ("clear",), ("start", "StartExecution", "kill before"),
        ("redrive_becomes_impossible",), ("start", "StartExecution", ""), ("execution_ends", "go"), ("wait",),
        ("trigger_fires",),
    ],
}  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize("history", HISTORIES.values(), ids=list(HISTORIES))
def test_histories_that_are_rare(environment: Environment, history: list[tuple[str, ...]]) -> None:
    """Step by step, with all that has to be true after each."""
    AnyOrder.environment = environment
    steps = AnyOrder()
    try:
        steps.begin()
        for name, *arguments in history:
            getattr(steps, name)(*arguments)
            steps.executions_are_as_the_table_has_them()
            steps.a_stage_that_has_completed_is_not_run_again()
    finally:
        steps.teardown()
