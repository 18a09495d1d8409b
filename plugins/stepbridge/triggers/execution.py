"""ExecutionTrigger: fires when an execution has ended, and stops it when its task is marked failed or cleared.

Triggers share a watcher, ``triggers.watcher`` (Airflow's shared trigger streams). A trigger calls DescribeExecution
only if its execution alone is missing from what runs, or if an event reported its end.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Hashable
from typing import Any, ClassVar, Final

from airflow.sdk.exceptions import AirflowRuntimeError
from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from stepbridge.aws.step_functions import StepFunctions
from stepbridge.core.failures import KILLED
from stepbridge.core.statuses import execution_status
from stepbridge.errors import TRANSIENT_ERRORS, AwsError, CredentialsError
from stepbridge.hooks.task_instance import describe_instance
from stepbridge.triggers.poll_interval import backoff_seconds, with_jitter
from stepbridge.triggers.poller import Snapshot, hook_of
from stepbridge.triggers.state_changes import StateChanges
from stepbridge.triggers.stop_reasons import reason_by_task_state
from stepbridge.triggers.subscribers import Subscribers
from stepbridge.triggers.watcher import stream_key, watch

ANSWER_SECONDS: Final = 25.0  # Airflow gives on_kill 30 s, [triggerer] on_kill_timeout

AFTER_EVENT_SECONDS: Final = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Pauses before an execution is described again whose end an event reported before DescribeExecution does."""


class ExecutionTrigger(BaseEventTrigger):
    """Fires once, with ``{"execution_arn", "status", "fault"}``; ``fault`` is the text of why the wait can't go on.

    :param settle_seconds: in a triggerer, how long after it began to wait it fires at the earliest. A worker may notice
        late that its task has been deferred. If the task is queued again before that, the scheduler takes the
        executor's late message for a failure of the task that runs by then (seen with Airflow 3.3.2).

    The other arguments are ExecutionSensor's; without ``events_queue_url`` ends are found by polling.
    """

    supports_triggerer_queue: ClassVar[bool] = True  # type: ignore[misc]  # it serves deferred tasks, which have a queue

    # What the triggers of one process share. Airflow makes triggers from their serialized arguments and opens shared
    # streams on the class, so nothing can be passed to them: of all stepbridge, only triggers keep state per process.
    subscribers: ClassVar[defaultdict[Hashable, Subscribers]] = defaultdict(Subscribers)
    warm_up: ClassVar[asyncio.Task[None] | None] = None

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
        """Class path and arguments, for the triggerer. Deferred tasks of earlier versions have them in this form."""
        names = ("execution_arn", "aws_conn_id", "region_name", "settle_seconds", "events_queue_url")
        return "stepbridge.triggers.execution.ExecutionTrigger", {name: getattr(self, name) for name in names}

    def shared_stream_key(self) -> Hashable | None:
        """The same for all triggers that one watcher can serve."""
        return stream_key(self.serialize()[1])

    @classmethod
    def open_shared_stream(cls, kwargs: dict[str, Any]) -> AsyncIterator[Snapshot]:
        """The watcher's snapshots, for ever."""
        return watch(kwargs, cls.subscribers[stream_key(kwargs)])

    async def filter_shared_stream(self, shared_stream: AsyncIterator[Snapshot]) -> AsyncIterator[TriggerEvent]:
        """Fire when the execution has ended. A listing alone does not prove it: lists are eventually consistent."""
        if self.task_instance and ExecutionTrigger.warm_up is None:
            ExecutionTrigger.warm_up = asyncio.create_task(self._ask_airflow_once())
        settled = time.monotonic() + self.settle_seconds
        self._subscribers.request_poll()
        with self._subscribers.subscribed(self.execution_arn):
            async for snapshot in shared_stream:
                event = await self._event(snapshot)
                if event:
                    await asyncio.sleep(settled - time.monotonic())
                    yield event
                    return
                if self.execution_arn in snapshot.histories and not snapshot.error:
                    await self._log_changes(snapshot)

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """The same without sharing or settling: where triggers run outside of a triggerer, as in ``dag.test()``."""
        self.settle_seconds = 0.0
        stream = type(self).open_shared_stream(self.serialize()[1])
        async for event in self.filter_shared_stream(stream):
            yield event

    async def on_kill(self) -> None:
        """Stop the execution if its task was marked failed, cleared or timed out while it waited."""
        stop, why = await self._reason_to_stop()
        name = describe_instance(self.task_instance) if self.task_instance else "its task"
        if stop:
            self.log.warning("stopping %s: %s was %s", self.execution_arn, name, why)
            await asyncio.to_thread(self._stop, f"{name} was {why}")
        else:
            self.log.warning("%s goes on: %s", self.execution_arn, why)

    @property
    def _subscribers(self) -> Subscribers:
        return self.subscribers[self.shared_stream_key()]

    async def _ask_airflow_once(self) -> None:
        """Ask Airflow for a task's state ahead of need, so that the answer is quick when an execution must be stopped.

        A triggerer's first question makes it build an API server in its own process: seconds, or half a minute on a
        busy machine (seen with Airflow 3.3.2).
        """
        try:
            await asyncio.to_thread(reason_by_task_state, self.task_instance)
        except AirflowRuntimeError as error:
            self.log.warning("Airflow does not report the state of the task: %s", error)

    async def _reason_to_stop(self) -> tuple[bool, str]:
        """Whether to stop the execution, and why. If Airflow can't be asked, it is stopped, to save the money."""
        if not self.task_instance:
            return True, "ended by a user"
        try:
            return await asyncio.wait_for(asyncio.to_thread(reason_by_task_state, self.task_instance), ANSWER_SECONDS)
        except TimeoutError:
            # If it was cleared, its next try adopts it; if marked or timed out, the listener stops it.
            return False, f"Airflow did not say within {ANSWER_SECONDS} s why its task waits no more"
        except AirflowRuntimeError as error:
            self.log.warning("the state of the task is not known: %s", error)
            return True, "ended while it waited"

    def _stop(self, cause: str) -> None:
        hook_of(self.serialize()[1]).step_functions.stop(self.execution_arn, KILLED, cause)

    async def _log_changes(self, snapshot: Snapshot) -> None:
        """Log what is new since the last call; an error here does not disturb the wait."""
        self._changes = self._changes or StateChanges(snapshot.client, self.execution_arn, snapshot.logs)
        try:
            for line in await asyncio.to_thread(self._changes.new_lines):
                self.log.info("%s", line)
        except AwsError as error:
            self.log.warning("state changes are not known: %s", error)

    async def _event(self, snapshot: Snapshot) -> TriggerEvent | None:
        if snapshot.error:
            return self._trigger_event("", str(snapshot.error)) if snapshot.fatal else None
        if not snapshot.may_have_ended(self.execution_arn):
            return None
        if status := snapshot.statuses.get(self.execution_arn):
            return self._trigger_event(status)
        if snapshot.ended is not None:
            return await self._event_after_reported_end(snapshot.client)
        return None if time.monotonic() < self._not_before else await self._described_event(snapshot.client)

    async def _event_after_reported_end(self, client: StepFunctions) -> TriggerEvent | None:
        """An event may come before DescribeExecution, which is eventually consistent, knows; or after a redrive."""
        for seconds in AFTER_EVENT_SECONDS:
            if event := await self._described_event(client):
                return event
            await asyncio.sleep(seconds)
        self._subscribers.request_poll()
        return None

    async def _described_event(self, client: StepFunctions) -> TriggerEvent | None:
        """What to fire after DescribeExecution; None while it runs."""
        try:
            status = (await asyncio.to_thread(client.describe, self.execution_arn)).status
        except (*TRANSIENT_ERRORS, CredentialsError) as error:
            self._failures += 1
            pause = with_jitter(backoff_seconds(self._failures))
            self._not_before = time.monotonic() + pause
            asyncio.get_running_loop().call_later(pause, self._subscribers.request_poll)
            self.log.warning("%s", error)
            return None
        except AwsError as error:
            return self._trigger_event("", str(error))
        self._failures = 0
        return self._trigger_event(status) if execution_status(status).terminal else None

    def _trigger_event(self, status: str, error: str = "") -> TriggerEvent:
        # "fault" is the key that workers of earlier versions read, and triggerers of earlier versions write.
        payload = {"execution_arn": self.execution_arn, "status": status, "fault": error}
        return TriggerEvent(payload)  # type: ignore[no-untyped-call]
