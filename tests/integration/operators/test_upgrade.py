"""Tasks that version 0.1.0 left deferred, stopped or between two tries are taken up by this version."""

from __future__ import annotations

import asyncio
import itertools
import json
import uuid
from typing import Any

from airflow.sdk import DAG
from airflow.sdk.module_loading import import_string
from airflow.triggers.shared_stream import SharedStreamManager

from stepbridge.core.deployment import Deployment
from stepbridge.sensors.execution import ExecutionSensor

from .airflow_runs import AirflowRuns, synced
from .controlled_machine import ControlledMachine
from .task_tries import TaskTries
from .trigger_runs import DEADLINE_SECONDS, Start

WAIT = "wait_for_execution"
_numbers = itertools.count(1)


def run_that_waits(arn: str) -> TaskTries:
    with DAG(f"upgraded-{next(_numbers)}", schedule=None, default_args={"retries": 3, "retry_delay": 0}) as dag:
        ExecutionSensor(task_id=WAIT, execution_arn=arn, allow_empty_output=True)
    synced(dag)
    return TaskTries(dag, f"run-{uuid.uuid4().hex[:8]}")


async def fired_as_in_a_triggerer(classpath: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """The payload that the trigger fires, made as Airflow makes it from its database."""
    trigger = import_string(classpath)(**arguments)
    manager = SharedStreamManager()
    key = trigger.shared_stream_key()
    try:
        stream = manager.subscribe(trigger_id=1, trigger=trigger, key=key)
        async with asyncio.timeout(DEADLINE_SECONDS):
            events = [event async for event in trigger.filter_shared_stream(stream)]
    finally:
        await manager.stop_all()
    return dict(events[0].payload)


def test_a_wait_that_was_deferred_before_the_upgrade_ends_with_its_report(airflow: AirflowRuns, start: Start) -> None:
    """Its trigger comes from the database as 0.1.0 wrote it; so does the name of the method that takes the event."""
    _ = airflow
    arn = start(2)
    run = run_that_waits(arn)
    assert run.next_try(WAIT) == "deferred"
    arguments = {
        "execution_arn": arn,
        "aws_conn_id": "aws_default",
        "region_name": None,
        "settle_seconds": 0.0,
        "events_queue_url": "",
    }
    event = asyncio.run(fired_as_in_a_triggerer("stepbridge.triggers.execution.ExecutionTrigger", arguments))
    assert event == {"execution_arn": arn, "status": "SUCCEEDED", "fault": ""}
    assert run.resumed(WAIT, event) == "success"
    assert run.xcom(WAIT)["status"] == "SUCCEEDED"


def test_an_event_that_was_fired_before_the_upgrade_is_taken(airflow: AirflowRuns, start: Start) -> None:
    """The triggerer of 0.1.0 fired, and a worker of this version resumes: an error is an error, an end is an end."""
    _ = airflow
    arn = start(0)
    run = run_that_waits(arn)
    assert run.next_try(WAIT) == "deferred"
    assert run.resumed(WAIT, {"execution_arn": arn, "status": "", "fault": "cannot list"}) == "up_for_retry"
    while run.next_try(WAIT) == "deferred":  # the execution has ended, or will have by the next try
        assert run.tried(WAIT) < 5
    assert run.state(WAIT) == "success"


def test_an_execution_that_0_1_0_stopped_for_another_try_is_redriven(
    airflow: AirflowRuns, deployment: Deployment, machines: Any, session: Any, endpoint_url: str
) -> None:
    """By the error and the cause that 0.1.0 gave it when the wait was cleared."""
    _ = airflow
    s3 = session.client("s3", endpoint_url=endpoint_url)
    machine = ControlledMachine(machines, s3, deployment.bucket, f"upgraded-{uuid.uuid4().hex[:8]}")
    arn = machines.start_execution(stateMachineArn=machine.arn, input=json.dumps({}))["executionArn"]
    run = run_that_waits(arn)
    assert run.next_try(WAIT) == "deferred"
    cause = f"task {run.dag_id}.{WAIT} of run {run.run_id}, try 1 was cleared, or its run was, while it waited"
    machines.stop_execution(executionArn=arn, error="stepbridge.Killed", cause=cause)
    run.clear()
    assert run.next_try(WAIT) == "deferred"
    assert machine.executions()[arn].redrives == 1
    machine.let_end(arn, "go")
    assert run.resumed(WAIT, {"execution_arn": arn, "status": "SUCCEEDED", "fault": ""}) == "success"
    machine.close()
