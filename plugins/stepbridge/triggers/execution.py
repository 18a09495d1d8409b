"""ExecutionTrigger: fires when an execution has ended.

All triggers of one triggerer that wait for executions of one state machine, through one connection, share one watcher
(Airflow's shared trigger streams). A look is one ListExecutions of what runs, 1000 a page, however many wait; only an
execution that is missing from it is described, once. boto3 runs in threads: one session and one client a watcher.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Hashable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, ClassVar, Final

from airflow.sdk.exceptions import AirflowRuntimeError
from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from stepbridge.aws.arns import region_of, state_machine_arn
from stepbridge.aws.faults import (
    AwsFault,
    CredentialsUnusable,
    EndpointUnreachable,
    ServiceUnavailable,
    Throttled,
)
from stepbridge.aws.step_functions import PAGE_SIZE, StepFunctions
from stepbridge.core.statuses import execution_status
from stepbridge.hooks.task_instance import in_words
from stepbridge.triggers.endings import KILLED, WAITING_TRY_KEY, reason_to_stop
from stepbridge.triggers.pacing import SHORTEST_SECONDS, backed_off, jittered, look_interval
from stepbridge.triggers.state_changes import StateChanges, turns_of

__all__ = ["PASSING", "ExecutionTrigger", "Look"]

log = logging.getLogger(__name__)

# What passes by itself: these slow the watcher down and never fail a wait.
PASSING: Final = (Throttled, ServiceUnavailable, EndpointUnreachable)
ANSWER_SECONDS: Final = 25.0  # Airflow gives on_kill 30 s, [triggerer] on_kill_timeout
CREDENTIALS_PATIENCE_SECONDS: Final = 600.0  # somebody renews them in the connection, or the wait is told

_acquainted: Final[set[asyncio.Task[None]]] = set()
"""Holds this process's one question to Airflow that is asked ahead of need, see ``ExecutionTrigger._acquaint``."""

_newcomers: Final[dict[Hashable, asyncio.Event]] = {}
"""Per running watcher of this process, what a new trigger sets to be looked for soon; watchers add and remove it."""


@dataclass(frozen=True)
class Look:
    """What one look saw through ``client``: the executions that run, or the fault that kept it from seeing them.

    ``hopeless``: the fault does not pass by itself, and whoever waits should be told. ``turns``: the executions whose
    state changes are asked for after this look.
    """

    client: StepFunctions
    running: frozenset[str] = frozenset()
    fault: AwsFault | None = None
    hopeless: bool = False
    turns: frozenset[str] = frozenset()


class ExecutionTrigger(BaseEventTrigger):
    """Fires once, with ``{"execution_arn", "status", "fault"}``; ``fault`` is the text of why the wait can't go on.

    :param execution_arn: the execution.
    :param aws_conn_id: the Airflow connection; None means boto3's own search for credentials.
    :param region_name: the region, if not the execution's own.
    :param settle_seconds: in a triggerer, how long after it began to wait it fires at the earliest. A worker may notice
        late that its task has been deferred; should the task be queued again before that, the scheduler takes the
        executor's late word for a failure of the task that runs by then (seen with Airflow 3.3.2).
    """

    supports_triggerer_queue: ClassVar[bool] = True  # type: ignore[misc]  # it serves deferred tasks, which have a queue

    def __init__(
        self,
        *,
        execution_arn: str,
        aws_conn_id: str | None = "aws_default",
        region_name: str | None = None,
        settle_seconds: float = 0.0,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.execution_arn = execution_arn
        self.aws_conn_id = aws_conn_id
        self.region_name = region_name
        self.settle_seconds = settle_seconds
        self._failures = 0
        self._not_before = 0.0
        self._changes: StateChanges | None = None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and arguments, for the triggerer."""
        arguments = {
            "execution_arn": self.execution_arn,
            "aws_conn_id": self.aws_conn_id,
            "region_name": self.region_name,
            "settle_seconds": self.settle_seconds,
        }
        return "stepbridge.triggers.execution.ExecutionTrigger", arguments

    def shared_stream_key(self) -> Hashable | None:
        """Account and region are in the state machine's ARN."""
        return _stream_key(self.serialize()[1])

    @classmethod
    async def open_shared_stream(cls, kwargs: dict[str, Any]) -> AsyncIterator[Look]:
        """A ``Look`` now and then, for ever: soon after executions began, or a trigger joined; seldom later on."""
        key = _stream_key(kwargs)
        newcomer = _newcomers[key] = asyncio.Event()
        watcher = _Watcher(kwargs)
        try:
            while True:
                newcomer.clear()
                look, pause = await asyncio.to_thread(watcher.look)
                yield replace(look, turns=turns_of(key).next())
                await _paused(pause, newcomer if look.fault is None else None)
        finally:
            if _newcomers.get(key) is newcomer:
                del _newcomers[key]

    async def filter_shared_stream(self, shared_stream: AsyncIterator[Look]) -> AsyncIterator[TriggerEvent]:
        """Fire when the execution runs no more. Missing from one look is not enough: lists lag behind."""
        if self.task_instance and not _acquainted:
            _acquainted.add(asyncio.create_task(self._acquaint()))
        settled = time.monotonic() + self.settle_seconds
        if newcomer := _newcomers.get(self.shared_stream_key()):
            newcomer.set()
        with turns_of(self.shared_stream_key()).taken_by(self.execution_arn):
            async for look in shared_stream:
                event = await self._event(look)
                if event:
                    await asyncio.sleep(settled - time.monotonic())
                    yield event
                    return
                if self.execution_arn in look.turns and not look.fault:
                    await self._tell_changes(look.client)

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """The same without sharing or settling: where triggers run outside of a triggerer, as in ``dag.test()``."""
        self.settle_seconds = 0.0
        stream = type(self).open_shared_stream(self.serialize()[1])
        async for event in self.filter_shared_stream(stream):
            yield event

    async def on_kill(self) -> None:
        """Stop the execution if its task has ended otherwise (marked, cleared, its run timed out) while it waited."""
        stop, why = await self._reason_to_stop()
        name = in_words(self.task_instance) if self.task_instance else "its task"
        if stop:
            self.log.warning("stopping %s: %s was %s", self.execution_arn, name, why)
            await asyncio.to_thread(self._stop, f"{name} was {why}")
        else:
            self.log.warning("%s goes on: %s", self.execution_arn, why)

    async def _acquaint(self) -> None:
        """Ask Airflow for a task's state once, so that the answer is quick when an execution has to be stopped.

        A triggerer's first question makes it build an API server in its own process: seconds, or half a minute on a
        busy machine (seen with Airflow 3.3.2).
        """
        try:
            await asyncio.to_thread(self._reason_by_task_state)
        except AirflowRuntimeError as error:
            self.log.warning("Airflow does not tell the state of the task: %s", error)

    async def _reason_to_stop(self) -> tuple[bool, str]:
        """Whether to stop the execution, and why. When Airflow can't be asked, money is what counts: it is stopped."""
        if not self.task_instance:
            return True, "ended by a user"
        try:
            return await asyncio.wait_for(asyncio.to_thread(self._reason_by_task_state), ANSWER_SECONDS)
        except TimeoutError:
            # Cleared, its next try adopts it; marked or timed out, the listener has noted it and stops it.
            return False, f"Airflow has not said within {ANSWER_SECONDS} s why its task waits no more"
        except AirflowRuntimeError as error:
            self.log.warning("the state of the task is not known: %s", error)
            return True, "ended while it waited"

    def _reason_by_task_state(self) -> tuple[bool, str]:
        # Here, since a parse of a DAG file shall not import the task runner.
        from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
        from airflow.sdk.execution_time.xcom import XCom

        task: Any = self.task_instance
        of_task = {"dag_id": task.dag_id, "task_id": task.task_id, "run_id": task.run_id, "map_index": task.map_index}
        states = RuntimeTaskInstance.get_task_states(
            dag_id=task.dag_id, task_ids=[task.task_id], run_ids=[task.run_id], map_index=task.map_index
        )
        mapped = task.map_index is not None and task.map_index >= 0
        state = states.get(task.run_id, {}).get(f"{task.task_id}_{task.map_index}" if mapped else task.task_id)
        waiting = XCom.get_one(key=WAITING_TRY_KEY, **of_task) if state == "deferred" else None
        return reason_to_stop(state, task.try_number, waiting)

    def _stop(self, cause: str) -> None:
        _client(self.serialize()[1]).stop(self.execution_arn, KILLED, cause)

    async def _tell_changes(self, client: StepFunctions) -> None:
        """A log line for each state change since the last time; what keeps it from being told keeps nothing else."""
        self._changes = self._changes or StateChanges(client, self.execution_arn)
        try:
            for line in await asyncio.to_thread(self._changes.new_lines):
                self.log.info("%s", line)
        except AwsFault as fault:
            self.log.warning("state changes are not known: %s", fault)

    async def _event(self, look: Look) -> TriggerEvent | None:
        if look.fault:
            return self._made("", str(look.fault)) if look.hopeless else None
        if self.execution_arn in look.running or time.monotonic() < self._not_before:
            return None
        try:
            status = (await asyncio.to_thread(look.client.describe, self.execution_arn)).status
        except (*PASSING, CredentialsUnusable) as fault:
            self._failures += 1
            self._not_before = time.monotonic() + backed_off(self._failures)
            self.log.warning("%s", fault)
            return None
        except AwsFault as fault:
            return self._made("", str(fault))
        self._failures = 0
        return self._made(status, "") if execution_status(status).terminal else None

    def _made(self, status: str, fault: str) -> TriggerEvent:
        payload = {"execution_arn": self.execution_arn, "status": status, "fault": fault}
        return TriggerEvent(payload)  # type: ignore[no-untyped-call]


def _stream_key(kwargs: dict[str, Any]) -> tuple[str, ...]:
    state_machine = state_machine_arn(kwargs["execution_arn"])
    return ("stepbridge", state_machine, str(kwargs["aws_conn_id"]), str(kwargs["region_name"]))


def _client(kwargs: dict[str, Any]) -> StepFunctions:
    region = kwargs["region_name"] or region_of(kwargs["execution_arn"])
    from stepbridge.hooks.stepbridge import StepbridgeHook  # here, since a parse of a DAG file shall not import boto3

    return StepbridgeHook(kwargs["aws_conn_id"], region).step_functions


class _Watcher:
    """Looks at one state machine's executions, from one thread at a time."""

    def __init__(self, kwargs: dict[str, Any]) -> None:
        self._kwargs = kwargs
        self._state_machine = state_machine_arn(kwargs["execution_arn"])
        self._client: StepFunctions | None = None
        self._failures = 0
        self._failing_since = 0.0

    def look(self) -> tuple[Look, float]:
        """One look, and the seconds until the next."""
        client = self._client = self._client or _client(self._kwargs)
        try:
            running = list(client.running(self._state_machine))
        except AwsFault as fault:
            return self._failed(client, fault)
        self._failures = 0
        now = datetime.now(UTC)
        youngest = min(((now - execution.latest_start).total_seconds() for execution in running), default=0.0)
        pause = look_interval(youngest, pages=len(running) // PAGE_SIZE + 1)
        return Look(client, frozenset(execution.arn for execution in running)), pause

    def _failed(self, client: StepFunctions, fault: AwsFault) -> tuple[Look, float]:
        self._failing_since = self._failing_since if self._failures else time.monotonic()
        self._failures += 1
        hopeless = not isinstance(fault, PASSING)
        if isinstance(fault, CredentialsUnusable):
            hopeless = time.monotonic() - self._failing_since > CREDENTIALS_PATIENCE_SECONDS
            self._client = None  # the next look reads the connection again
        log.log(logging.ERROR if hopeless else logging.WARNING, "cannot see what runs: %s", fault)
        return Look(client, fault=fault, hopeless=hopeless), backed_off(self._failures)


async def _paused(seconds: float, newcomer: asyncio.Event | None) -> None:
    pause = jittered(seconds, random.random())
    if newcomer is None:
        await asyncio.sleep(pause)
        return
    try:
        await asyncio.wait_for(newcomer.wait(), pause)
    except TimeoutError:
        return
    await asyncio.sleep(min(pause, SHORTEST_SECONDS))  # those who join together are looked for together
