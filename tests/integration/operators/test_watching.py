"""Executions watched by many triggers at once, as Airflow's triggerer runs them."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest
from airflow.triggers.shared_stream import SharedStreamManager

from stepbridge.aws.arns import execution_arn
from stepbridge.triggers.execution import ExecutionTrigger
from stepbridge.triggers.subscribers import HISTORIES_PER_POLL

from .fault_proxy import FaultProxy
from .trigger_runs import DEADLINE_SECONDS, Start, all_fired, fired


def test_each_trigger_fires_once_for_its_own_execution(proxy: FaultProxy, start: Start) -> None:
    """Sixty waits cost a listing or two a second and next to no description, however many end together."""
    _ = proxy
    arns = [start(seconds) for seconds in (0, 1, 3) for _ in range(20)]
    began = time.monotonic()
    events = asyncio.run(all_fired(arns))
    seconds = time.monotonic() - began
    assert [(event["execution_arn"], event["status"], event["fault"]) for event in events] == [
        (arn, "SUCCEEDED", "") for arn in arns
    ]
    assert proxy.calls["DescribeExecution"] <= len(arns) / 4
    assert proxy.calls["ListExecutions"] <= 2 * (seconds + 3)


@pytest.mark.load_dependent
def test_an_end_is_noticed_within_two_seconds(proxy: FaultProxy, machines: Any, start: Start) -> None:
    """Soon after the start the polls are a second apart."""
    _ = proxy
    arn = start(2)
    asyncio.run(all_fired([arn]))
    noticed = time.time()
    assert noticed - machines.describe_execution(executionArn=arn)["stopDate"].timestamp() < 2


def test_state_changes_are_logged_while_the_trigger_waits(
    proxy: FaultProxy, start: Start, capfd: pytest.CaptureFixture[str]
) -> None:
    """A line per change and execution, in the trigger's own log, for a few calls per poll however many wait."""
    arns = [start(6) for _ in range(6)]
    asyncio.run(all_fired(arns))
    output = capfd.readouterr()
    assert (output.out + output.err).count(" W entered") == len(arns)
    assert (output.out + output.err).count(" ExecutionStarted") == len(arns)
    assert proxy.calls["GetExecutionHistory"] <= HISTORIES_PER_POLL * proxy.calls["ListExecutions"]


@pytest.mark.long
def test_a_trigger_that_joins_an_idle_watcher_is_served_soon(proxy: FaultProxy, start: Start) -> None:
    """A watcher that polls every 30 s, because its executions are old, polls soon for a new one."""

    async def joined() -> float:
        manager = SharedStreamManager()
        old = asyncio.create_task(fired(manager, 1, start(600)))
        while not proxy.calls["ListExecutions"]:
            await asyncio.sleep(0.05)
        arn, began = start(0), time.monotonic()
        await asyncio.wait_for(fired(manager, 2, arn), DEADLINE_SECONDS)
        old.cancel()
        await manager.stop_all()
        return time.monotonic() - began

    assert asyncio.run(joined()) < 5


@pytest.mark.long
def test_throttling_slows_the_watcher_and_fails_nothing(proxy: FaultProxy, start: Start) -> None:
    """Polls that are throttled are repeated later."""
    throttled = {"ListExecutions": 2, "DescribeExecution": 1}
    proxy.fault_for = lambda operation, count: "throttle" if count <= throttled.get(operation, 0) else "pass"
    [event] = asyncio.run(all_fired([start(0)]))
    assert (event["status"], event["fault"]) == ("SUCCEEDED", "")
    assert proxy.calls["ListExecutions"] >= 3


def test_a_missing_permission_fails_the_wait_with_the_statement_to_add(proxy: FaultProxy, start: Start) -> None:
    """No wait goes on for ever because ListExecutions is denied."""
    proxy.fault_for = lambda operation, _count: "deny" if operation == "ListExecutions" else "pass"
    [event] = asyncio.run(all_fired([start(0)]))
    assert event["status"] == ""
    assert 'add {"Effect": "Allow", "Action": "states:ListExecutions", "Resource": "arn:aws:states:' in event["fault"]


def test_an_execution_that_does_not_exist_fails_the_wait(proxy: FaultProxy, machine: str) -> None:
    """A wrong ARN is no reason to wait."""
    _ = proxy
    [event] = asyncio.run(all_fired([execution_arn(machine, "nobody")]))
    assert "ExecutionDoesNotExist" in event["fault"]


def test_a_user_who_ends_the_task_stops_the_execution(proxy: FaultProxy, machines: Any, start: Start) -> None:
    """``on_kill`` in the triggerer aborts it with a cause."""
    _ = proxy
    arn = start(600)
    asyncio.run(ExecutionTrigger(execution_arn=arn).on_kill())
    execution = machines.describe_execution(executionArn=arn)
    assert execution["status"] == "ABORTED"
    assert "by a user" in execution["cause"]


def test_the_trigger_survives_serialization(proxy: FaultProxy, start: Start) -> None:
    """The triggerer makes it again from what the worker wrote."""
    _ = proxy
    trigger = ExecutionTrigger(execution_arn=start(0), region_name="us-east-1")
    path, arguments = trigger.serialize()
    assert path == f"{ExecutionTrigger.__module__}.{ExecutionTrigger.__qualname__}"
    again = ExecutionTrigger(**json.loads(json.dumps(arguments)))
    assert again.serialize() == trigger.serialize()
    assert again.shared_stream_key() == trigger.shared_stream_key()
