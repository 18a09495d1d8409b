"""ExecutionTrigger: fires when an execution has ended.

All triggers of one triggerer that wait for executions of one state machine, through one connection, share one watcher
(Airflow's shared trigger streams): ``triggers.watching``. An execution is described, once, only if it alone is missing
from what runs, or if an event told its end.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Hashable
from typing import Any, ClassVar, Final

from airflow.sdk.exceptions import AirflowRuntimeError
from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from stepbridge.aws.step_functions import StepFunctions
from stepbridge.core.statuses import execution_status
from stepbridge.errors import AwsError, CredentialsError
from stepbridge.hooks.task_instance import describe_instance
from stepbridge.triggers.poll_interval import backoff_seconds, with_jitter
from stepbridge.triggers.state_changes import StateChanges, turns_of
from stepbridge.triggers.stop_reasons import KILLED, WAITING_TRY_KEY, reason_to_stop
from stepbridge.triggers.watcher import TRANSIENT_ERRORS, Look, ask_for_a_look, hook_of, looks, stream_key

__all__ = ["ExecutionTrigger"]

ANSWER_SECONDS: Final = 25.0  # Airflow gives on_kill 30 s, [triggerer] on_kill_timeout

AFTER_EVENT_SECONDS: Final = (0.5, 1.0, 2.0, 4.0, 8.0)
"""When an execution is described again whose end an event told, but DescribeExecution does not know of yet."""

_acquainted: Final[set[asyncio.Task[None]]] = set()
"""Holds this process's one question to Airflow that is asked ahead of need, see ``ExecutionTrigger._acquaint``."""


class ExecutionTrigger(BaseEventTrigger):
    """Fires once, with ``{"execution_arn", "status", "fault"}``; ``fault`` is the text of why the wait can't go on.

    :param execution_arn: the execution.
    :param aws_conn_id: the Airflow connection; None means boto3's own search for credentials.
    :param region_name: the region, if not the execution's own.
    :param settle_seconds: in a triggerer, how long after it began to wait it fires at the earliest. A worker may notice
        late that its task has been deferred; should the task be queued again before that, the scheduler takes the
        executor's late word for a failure of the task that runs by then (seen with Airflow 3.3.2).
    :param events_queue_url: the SQS queue that ends of the state machine's executions are sent to; they are looked for
        seldom then. Empty: they are only looked for.
    """

    supports_triggerer_queue: ClassVar[bool] = True  # type: ignore[misc]  # it serves deferred tasks, which have a queue

    def __init__(
        self,
        *,
        execution_arn: str,
        aws_conn_id: str | None = "aws_default",
        region_name: str | None = None,
        settle_seconds: float = 0.0,
        events_queue_url: str = "",
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.execution_arn = execution_arn
        self.aws_conn_id = aws_conn_id
        self.region_name = region_name
        self.settle_seconds = settle_seconds
        self.events_queue_url = events_queue_url
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
            "events_queue_url": self.events_queue_url,
        }
        return "stepbridge.triggers.execution.ExecutionTrigger", arguments

    def shared_stream_key(self) -> Hashable | None:
        """The same for all who can be told by the same watcher."""
        return stream_key(self.serialize()[1])

    @classmethod
    def open_shared_stream(cls, kwargs: dict[str, Any]) -> AsyncIterator[Look]:
        """A ``Look`` now and then, for ever."""
        return looks(kwargs)

    async def filter_shared_stream(self, shared_stream: AsyncIterator[Look]) -> AsyncIterator[TriggerEvent]:
        """Fire when the execution runs no more. Missing from one look is not enough: lists lag behind."""
        if self.task_instance and not _acquainted:
            _acquainted.add(asyncio.create_task(self._acquaint()))
        settled = time.monotonic() + self.settle_seconds
        ask_for_a_look(self.shared_stream_key())
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
        name = describe_instance(self.task_instance) if self.task_instance else "its task"
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
        hook_of(self.serialize()[1]).step_functions.stop(self.execution_arn, KILLED, cause)

    async def _tell_changes(self, client: StepFunctions) -> None:
        """A log line for each state change since the last time; what keeps it from being told keeps nothing else."""
        self._changes = self._changes or StateChanges(client, self.execution_arn)
        try:
            for line in await asyncio.to_thread(self._changes.new_lines):
                self.log.info("%s", line)
        except AwsError as fault:
            self.log.warning("state changes are not known: %s", fault)

    async def _event(self, look: Look) -> TriggerEvent | None:
        if look.fault:
            return self._made("", str(look.fault)) if look.hopeless else None
        if not look.may_have_ended(self.execution_arn):
            return None
        if status := look.endings.get(self.execution_arn):
            return self._made(status, "")
        if look.ended is not None:
            return await self._event_after_the_end_was_told(look.client)
        return None if time.monotonic() < self._not_before else await self._described(look.client)

    async def _event_after_the_end_was_told(self, client: StepFunctions) -> TriggerEvent | None:
        """What is told can be ahead of DescribeExecution, which is eventually consistent, or a redrive behind it."""
        for seconds in AFTER_EVENT_SECONDS:
            if event := await self._described(client):
                return event
            await asyncio.sleep(seconds)
        ask_for_a_look(self.shared_stream_key())
        return None

    async def _described(self, client: StepFunctions) -> TriggerEvent | None:
        """What to fire, by what DescribeExecution says."""
        try:
            status = (await asyncio.to_thread(client.describe, self.execution_arn)).status
        except (*TRANSIENT_ERRORS, CredentialsError) as fault:
            self._failures += 1
            pause = with_jitter(backoff_seconds(self._failures), random.random())
            self._not_before = time.monotonic() + pause
            asyncio.get_running_loop().call_later(pause, ask_for_a_look, self.shared_stream_key())
            self.log.warning("%s", fault)
            return None
        except AwsError as fault:
            return self._made("", str(fault))
        self._failures = 0
        return self._made(status, "") if execution_status(status).terminal else None

    def _made(self, status: str, fault: str) -> TriggerEvent:
        payload = {"execution_arn": self.execution_arn, "status": status, "fault": fault}
        return TriggerEvent(payload)  # type: ignore[no-untyped-call]
