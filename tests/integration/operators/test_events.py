"""Ends of executions reported by EventBridge through SQS, to triggers that poll rarely."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from airflow.triggers.shared_stream import SharedStreamManager

from stepbridge.core.deployment import Deployment
from stepbridge.sensors.execution import ExecutionSensor
from stepbridge.triggers import end_events
from stepbridge.triggers.execution import ExecutionTrigger
from stepbridge.triggers.poll_interval import LONGEST_SAFETY_SECONDS

from .fault_proxy import FaultProxy
from .trigger_runs import DEADLINE_SECONDS, Start, all_fired, fired

TERMINAL = ["SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED"]
LONG = 3600  # seconds, a whole number: a Wait takes no other


@dataclass
class Queue:
    """A queue and the rule that sends ends of one state machine's executions to it, as the stack has them."""

    session: boto3.Session
    endpoint_url: str
    machine: str
    name: str

    def __post_init__(self) -> None:
        self.sqs: Any = self.session.client("sqs", endpoint_url=self.endpoint_url)
        self.events: Any = self.session.client("events", endpoint_url=self.endpoint_url)
        attributes = {"MessageRetentionPeriod": "60", "VisibilityTimeout": "5"}
        self.url = self.sqs.create_queue(QueueName=self.name, Attributes=attributes)["QueueUrl"]
        arn = self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        pattern = {"source": ["aws.states"], "detail": {"stateMachineArn": [self.machine], "status": TERMINAL}}
        self.events.put_rule(Name=self.name, EventPattern=json.dumps(pattern))
        self.events.put_targets(Rule=self.name, Targets=[{"Id": "queue", "Arn": arn}])

    def send(self, arn: str, status: str) -> None:
        body = json.dumps({"detail": {"executionArn": arn, "status": status}})
        self.sqs.send_message(QueueUrl=self.url, MessageBody=body)

    def receive(self, wait_seconds: int) -> list[str]:
        """The ARNs that messages are about; they are deleted."""
        messages = self.sqs.receive_message(QueueUrl=self.url, WaitTimeSeconds=wait_seconds, MaxNumberOfMessages=10)
        found = messages.get("Messages", [])
        for message in found:
            self.sqs.delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])
        return [json.loads(message["Body"])["detail"]["executionArn"] for message in found]

    def lose_events(self) -> None:
        self.events.disable_rule(Name=self.name)

    def close(self) -> None:
        self.events.remove_targets(Rule=self.name, Ids=["queue"])
        self.events.delete_rule(Name=self.name)


@pytest.fixture
def queue(session: boto3.Session, endpoint_url: str, machine: str, deployment: Deployment) -> Iterator[Queue]:
    _ = deployment
    queue = Queue(session, endpoint_url, machine, f"ends-{uuid.uuid4().hex}")
    yield queue
    queue.close()


@dataclass
class Site:
    """What a test does to the executions, and how it sees what the watcher does."""

    proxy: FaultProxy
    machines: Any

    def stop(self, arn: str) -> None:
        self.machines.stop_execution(executionArn=arn, error="Enough", cause="of waiting")

    def fail_all_polls(self) -> None:
        """From now on no ListExecutions is answered: an end that is noticed was reported by an event."""
        before = self.proxy.fault_for
        self.proxy.fault_for = lambda operation, count: (
            "throttle" if operation == "ListExecutions" else before(operation, count)
        )

    async def until(self, good: Callable[[], bool]) -> None:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not good():
            assert time.monotonic() < deadline, f"calls until now: {self.proxy.calls}"
            await asyncio.sleep(0.05)

    async def listening(self) -> None:
        """The watcher has polled twice and is in a call that waits for messages."""
        await self.until(lambda: self.proxy.calls["ListExecutions"] >= 2 and self.proxy.calls["ReceiveMessage"] >= 2)


@pytest.fixture
def site(proxy: FaultProxy, machines: Any) -> Site:
    return Site(proxy, machines)


def waits(site: Site, queue: Queue, arns: list[str], then: Callable[[], None]) -> list[dict[str, Any]]:
    """What triggers for the executions fire, when ``then`` happens once they listen."""

    async def scenario() -> list[dict[str, Any]]:
        waiting = asyncio.create_task(all_fired(arns, queue.url))
        await site.listening()
        await asyncio.to_thread(then)
        return await waiting

    return asyncio.run(scenario())


def test_an_end_is_noticed_by_its_event(site: Site, queue: Queue, start: Start) -> None:
    """It is noticed although no poll gets an answer any more; its message is deleted."""
    arn = start(LONG)

    def end() -> None:
        site.fail_all_polls()
        site.stop(arn)

    [event] = waits(site, queue, [arn], end)
    assert event == {"execution_arn": arn, "status": "ABORTED", "fault": ""}
    assert site.proxy.calls["DescribeExecution"] == 1
    assert queue.receive(0) == []


@pytest.mark.long
def test_a_watcher_with_events_polls_rarely(site: Site, queue: Queue, start: Start) -> None:
    """A dozen seconds of waiting cost two polls at first and at most one more; lines of state changes go on."""
    arn = start(12)
    [event] = asyncio.run(all_fired([arn], queue.url))
    assert event["status"] == "SUCCEEDED"
    assert site.proxy.calls["ListExecutions"] <= 4
    assert site.proxy.calls["GetExecutionHistory"] > site.proxy.calls["ListExecutions"]


@pytest.mark.long
def test_many_ends_at_once_are_all_noticed(site: Site, queue: Queue, start: Start) -> None:
    """Fifty executions: each is described once, and their messages are gone."""
    arns = [start(LONG) for _ in range(50)]

    def end() -> None:
        site.fail_all_polls()
        for arn in arns:
            site.stop(arn)

    events = waits(site, queue, arns, end)
    assert [(event["execution_arn"], event["status"]) for event in events] == [(arn, "ABORTED") for arn in arns]
    assert site.proxy.calls["DescribeExecution"] == len(arns)
    assert queue.receive(0) == []


@pytest.mark.long
def test_an_end_whose_event_was_lost_is_found_by_polling(site: Site, queue: Queue, start: Start) -> None:
    """EventBridge delivers as best it can; polls are the safety net."""
    arn = start(LONG)
    queue.lose_events()
    [event] = waits(site, queue, [arn], lambda: site.stop(arn))
    assert event["status"] == "ABORTED"
    assert site.proxy.calls["ListExecutions"] >= 2


@pytest.mark.long
def test_an_event_ahead_of_describe_execution_is_believed_in_the_end(site: Site, queue: Queue, start: Start) -> None:
    """DescribeExecution is eventually consistent: while it still says RUNNING, it is asked again soon."""
    arn = start(LONG)
    site.proxy.fault_for = lambda operation, count: (
        "stale" if operation == "DescribeExecution" and count <= 2 else "pass"
    )

    def end() -> None:
        site.fail_all_polls()
        site.stop(arn)

    [event] = waits(site, queue, [arn], end)
    assert event["status"] == "ABORTED"
    assert site.proxy.calls["DescribeExecution"] == 3


@pytest.mark.long
def test_an_event_of_an_execution_that_runs_again_fires_nothing(site: Site, queue: Queue, start: Start) -> None:
    """A late or repeated event of before a redrive makes the trigger call DescribeExecution, and wait on."""
    arn = start(LONG)

    def repeat_and_end() -> None:
        queue.send(arn, "FAILED")
        deadline = time.monotonic() + DEADLINE_SECONDS
        while site.proxy.answered["DescribeExecution"] < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        site.stop(arn)

    [event] = waits(site, queue, [arn], repeat_and_end)
    assert event["status"] == "ABORTED"
    assert site.proxy.calls["DescribeExecution"] >= 3


@pytest.mark.long
def test_messages_for_others_stay_available_to_them(site: Site, queue: Queue, start: Start) -> None:
    """Another consumer of the queue gets what nobody in this triggerer waits for, though this one received it first."""
    own, foreign = start(LONG), start(LONG)
    received: list[str] = []

    def end() -> None:
        before = site.proxy.answered["ChangeMessageVisibilityBatch"]
        queue.send("not about an execution", "SUCCEEDED")
        site.stop(foreign)
        deadline = time.monotonic() + DEADLINE_SECONDS
        while site.proxy.answered["ChangeMessageVisibilityBatch"] == before and time.monotonic() < deadline:
            time.sleep(0.05)
        while foreign not in received and time.monotonic() < deadline:
            received.extend(queue.receive(1))
        site.stop(own)

    [event] = waits(site, queue, [own], end)
    assert event["execution_arn"] == own
    assert foreign in received
    assert own not in received


WATCHING = """
import asyncio, json, sys
from tests.integration.operators.trigger_runs import all_fired

queue_url, *arns = sys.argv[1:]
print(json.dumps(asyncio.run(all_fired(arns, queue_url))))
"""


@pytest.mark.long
def test_two_triggerers_share_a_queue(site: Site, queue: Queue, start: Start) -> None:
    """Each fires for all of its own executions, whoever received their messages first."""
    arns = [[start(LONG) for _ in range(8)] for _ in range(2)]
    commands = [[sys.executable, "-c", WATCHING, queue.url, *own] for own in arns]
    triggerers = [
        subprocess.Popen(
            command,
            env=dict(os.environ) | {"AWS_SDK_UA_APP_ID": f"triggerer-{number}"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number, command in enumerate(commands)
    ]
    calls = [
        f"{operation} by triggerer-{number}" for operation in ("ListExecutions", "ReceiveMessage") for number in (0, 1)
    ]
    try:
        # Both have polled twice, and their receivers wait for messages, when the polls fail.
        asyncio.run(site.until(lambda: min(site.proxy.calls[call] for call in calls) >= 2))
        site.fail_all_polls()
        for arn in (arn for pair in zip(*arns, strict=True) for arn in pair):
            site.stop(arn)
        for own, triggerer in zip(arns, triggerers, strict=True):
            out, err = triggerer.communicate(timeout=DEADLINE_SECONDS)
            assert triggerer.returncode == 0, err
            events = json.loads(out.splitlines()[-1])
            assert [(event["execution_arn"], event["status"]) for event in events] == [(arn, "ABORTED") for arn in own]
    finally:
        for triggerer in triggerers:
            triggerer.kill()
            triggerer.wait()


def test_a_queue_that_is_gone_fails_no_wait(
    site: Site, queue: Queue, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    """One warning; polls are as frequent as without a queue: with one there would be two."""
    queue.sqs.delete_queue(QueueUrl=queue.url)
    with caplog.at_level(logging.INFO, logger=end_events.__name__):
        [event] = asyncio.run(all_fired([start(9)], queue.url))
    assert (event["status"], event["fault"]) == ("SUCCEEDED", "")
    assert site.proxy.calls["ListExecutions"] >= 3
    [warning] = [record.getMessage() for record in caplog.records if record.name == end_events.__name__]
    assert warning.startswith("ends of executions are found by polling until their queue answers: ")
    assert queue.url in warning


@pytest.mark.long
def test_a_queue_that_may_not_be_read_is_asked_again_later(
    site: Site, queue: Queue, start: Start, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The warning has the statement that is missing; once it is there, ends are received again."""
    monkeypatch.setattr(end_events, "RETRY_SECONDS", 0.2)
    denied = [True]
    site.proxy.fault_for = lambda operation, _: "deny" if denied and operation == "ReceiveMessage" else "pass"
    arn = start(LONG)

    async def scenario() -> list[dict[str, Any]]:
        waiting = asyncio.create_task(all_fired([arn], queue.url))
        await site.until(lambda: site.proxy.answered["ReceiveMessage"] >= 3)
        denied.clear()
        calls = site.proxy.calls["ReceiveMessage"]
        await site.until(lambda: site.proxy.calls["ReceiveMessage"] >= calls + 2)
        site.fail_all_polls()
        site.stop(arn)
        return await waiting

    with caplog.at_level(logging.INFO, logger=end_events.__name__):
        [event] = asyncio.run(scenario())
    assert event["status"] == "ABORTED"
    messages = [record.getMessage() for record in caplog.records if record.name == end_events.__name__]
    [warning, again] = messages
    assert 'add {"Effect": "Allow", "Action": "sqs:ReceiveMessage", "Resource": "arn:aws:sqs:' in warning
    assert again == f"{queue.url}: ends of executions are received again"


@pytest.mark.long
def test_a_triggerer_that_ends_does_not_wait_for_messages(site: Site, queue: Queue, start: Start) -> None:
    """The call that waits for messages is still open when everything else has ended."""

    async def scenario() -> None:
        manager = SharedStreamManager()
        waiting = asyncio.create_task(fired(manager, 1, start(LONG), queue.url))
        await site.listening()
        waiting.cancel()
        await asyncio.wait([waiting])
        await manager.stop_all()

    asyncio.run(scenario())  # which waits for the threads of asyncio.to_thread
    assert site.proxy.answered["ReceiveMessage"] < site.proxy.calls["ReceiveMessage"]


@pytest.mark.long
def test_more_queues_than_asyncio_has_threads(
    site: Site, session: boto3.Session, endpoint_url: str, machines: Any, deployment: Deployment
) -> None:
    """Each state machine's receiver has a thread of its own, so that calls that wait keep no other from being made."""
    names = [f"many-{number}-{uuid.uuid4().hex}" for number in range(10)]
    definition = json.dumps({"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 3600, "End": True}}})
    role = deployment.processing_role_arn
    created = [machines.create_state_machine(name=name, definition=definition, roleArn=role) for name in names]
    queues = [
        Queue(session, endpoint_url, answer["stateMachineArn"], name)
        for name, answer in zip(names, created, strict=True)
    ]
    arns = [machines.start_execution(stateMachineArn=queue.machine)["executionArn"] for queue in queues]

    async def scenario() -> list[dict[str, Any]]:
        manager = SharedStreamManager()
        pairs = enumerate(zip(arns, queues, strict=True))
        waiting = asyncio.gather(*(fired(manager, number, arn, queue.url) for number, (arn, queue) in pairs))
        await site.until(lambda: site.proxy.calls["ReceiveMessage"] >= 2 * len(queues))
        for arn in arns:
            await asyncio.to_thread(site.stop, arn)
        events = await asyncio.wait_for(waiting, DEADLINE_SECONDS)
        await manager.stop_all()
        return events

    events = asyncio.run(scenario())
    assert [event["status"] for event in events] == ["ABORTED"] * len(queues)
    for queue in queues:
        queue.close()


def test_a_trigger_without_a_queue_still_loads(start: Start) -> None:
    """What an earlier release serialized has no queue: such a wait is a polling one, with a watcher of its own."""
    arn = start(0)
    old = ExecutionTrigger(execution_arn=arn, aws_conn_id="aws_default", region_name=None, settle_seconds=3.0)
    assert old.events_queue_url == ""
    with_queue = ExecutionTrigger(execution_arn=arn, events_queue_url="https://sqs/1/q")
    assert ExecutionTrigger(**json.loads(json.dumps(with_queue.serialize()[1]))).shared_stream_key() == (
        with_queue.shared_stream_key()
    )
    assert old.shared_stream_key() != with_queue.shared_stream_key()


@pytest.mark.parametrize(
    ("queue_url", "variable", "expected"),
    [
        (None, "own", "https://sqs.example/1/stack"),
        (None, "other", ""),
        (None, "old", ""),
        (None, "", ""),
        (None, "{", ""),
        ("", "own", ""),
        ("https://sqs.example/1/mine", "", "https://sqs.example/1/mine"),
    ],
)
def test_where_a_sensor_has_its_queue_from(
    deployment: Deployment, start: Start, queue_url: str | None, variable: str, expected: str
) -> None:
    """Its argument, else the deployment's queue, for executions of its state machine; a wait needs none."""
    arn = start(0)
    machine = arn.replace(":execution:", ":stateMachine:").rpartition(":")[0]
    stack_queue = {"events_queue_url": "https://sqs.example/1/stack"}
    documents = {
        "own": deployment.model_copy(update={"state_machine_arn": machine, **stack_queue}).to_json(),
        "other": deployment.model_copy(update=stack_queue).to_json(),
        "old": deployment.model_copy(update={"state_machine_arn": machine}).model_dump_json(
            exclude={"events_queue_url"}
        ),
    }
    sensor = ExecutionSensor(
        task_id="wait", execution_arn=arn, events_queue_url=queue_url, deployment=documents.get(variable, variable)
    )
    assert sensor.end_events_queue_url() == expected


def test_the_safety_net_is_never_wider_than_two_minutes() -> None:
    """What docs/watching.md promises."""
    assert LONGEST_SAFETY_SECONDS == 120.0
