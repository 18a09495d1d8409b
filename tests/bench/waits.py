"""One way of waiting for many executions, in a process of its own: ``python -m tests.bench.waits ORDER ANSWER``.

The operators, sensors and triggers are the real ones; the loop around the triggers is what Airflow's triggerer does
with them. What a task hands to Airflow (XComs) goes nowhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import inspect
import json
import logging
import os
import resource
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, TypeVar

from tests.bench.calls import Calls
from tests.bench.servers import memory_mb

__all__ = ["EVENTS", "SIDES", "Answer", "Order"]

Result = TypeVar("Result")

WORKERS: Final = 16
"""Worker processes that tasks start and end in; a thread and a client each."""

TASK_RETRY_SECONDS: Final = 30.0
"""When a task that failed because AWS throttled it is tried again."""


@dataclass(frozen=True)
class Order:
    """Start an execution of ``state_machine_arn`` for each of ``lengths_seconds``, in ``ramp_seconds``; await them."""

    side: str
    endpoint_url: str
    region: str
    state_machine_arn: str
    lengths_seconds: list[int]
    ramp_seconds: float
    deadline_seconds: float
    events_queue_url: str = ""


@dataclass
class Answer:
    """What it took. ``ended`` is the Unix time at which the wait for an execution was over, by its ARN.

    ``failed`` says why a wait failed, ``throttled_tries`` counts tries of tasks that ended because AWS throttled them.
    """

    ended: dict[str, float] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    throttled_tries: int = 0
    sent: dict[str, int] = field(default_factory=dict)
    throttled: dict[str, int] = field(default_factory=dict)
    cpu_seconds: float = 0.0
    memory_before_mb: float = 0.0
    memory_most_mb: float = 0.0


class TaskInstance:
    """As much of a task instance as an operator uses here: a name, and XComs that go nowhere."""

    dag_id = "bench"
    task_id = "wait"
    map_index = -1
    try_number = 1
    max_tries = 0

    def __init__(self, number: int) -> None:
        self.run_id = f"bench-{number}"

    def xcom_push(self, key: str, value: object) -> None:
        """Nobody reads it."""


class TaskStateStore(dict[str, Any]):
    """What a task instance saves, until this program ends."""

    def set(self, key: str, value: Any, **_: Any) -> None:
        self[key] = value


def context_of(number: int, task: Any) -> Any:
    """The context of a task of DAG run ``number``."""
    return {
        "ti": TaskInstance(number),
        "task": task,
        "run_id": f"bench-{number}",
        "params": {},
        "task_state_store": TaskStateStore(),
    }


# --- the three ways ---------------------------------------------------------------------------------------------------
class Ours:
    """StartExecutionOperator's call, ExecutionSensor until it defers, ExecutionTrigger in a shared stream."""

    def __init__(self, order: Order) -> None:
        from airflow.triggers.shared_stream import SharedStreamManager

        from stepbridge.hooks.stepbridge import StepbridgeHook

        self._order = order
        self._manager = SharedStreamManager()
        self._hook_of_worker = PerThread(lambda: StepbridgeHook("aws_default", order.region))

    def start(self, number: int, seconds: int) -> tuple[str, Any]:
        """In a worker: the execution's ARN, and the trigger that its task is deferred to."""
        from airflow.sdk.exceptions import TaskDeferred

        from stepbridge.sensors.execution import ExecutionSensor

        hook = self._hook_of_worker()
        executions = hook.step_functions
        arn = executions.start(self._order.state_machine_arn, f"bench-{number}", json.dumps({"seconds": seconds}))
        sensor = ExecutionSensor(task_id="wait", execution_arn=arn, region_name=self._order.region, **self._events())
        vars(sensor)["hook"] = hook  # a client per worker, not per task: the calls are the same
        try:
            sensor.execute(context_of(number, sensor))
        except TaskDeferred as deferred:
            return arn, deferred.trigger
        raise RuntimeError(f"{arn} had ended before its task was deferred")

    def _events(self) -> dict[str, Any]:
        """The sensor's argument for the event-driven mode, where it has that: empty means that it polls."""
        from stepbridge.sensors.execution import ExecutionSensor

        has_events = "events_queue_url" in inspect.signature(ExecutionSensor).parameters
        return {"events_queue_url": self._order.events_queue_url} if has_events else {}

    async def wait(self, number: int, trigger: Any) -> str:
        """In the triggerer, as ``TriggerRunner.run_trigger`` does it: why the wait failed; empty when it did not."""
        key = trigger.shared_stream_key()
        stream = self._manager.subscribe(trigger_id=number, trigger=trigger, key=key)
        try:
            async for event in trigger.filter_shared_stream(stream):
                error: str = event.payload["fault"]
                return error
        finally:
            await self._manager.unsubscribe(number, key)
        return "the trigger ended without an event"

    def resume(self, arn: str) -> None:
        """In a worker again: what ExecutionSensor.resume asks Step Functions before it writes the run report."""
        self._hook_of_worker().step_functions.describe(arn)


class Provider:
    """StepFunctionStartExecutionOperator(deferrable=True) until it defers, and its trigger with its own defaults."""

    def __init__(self, order: Order) -> None:
        from airflow.providers.amazon.aws.hooks.step_function import StepFunctionHook

        self._order = order
        self._hook_of_worker = PerThread(lambda: StepFunctionHook(aws_conn_id="aws_default", region_name=order.region))

    def start(self, number: int, seconds: int) -> tuple[str, Any]:
        from airflow.providers.amazon.aws.operators.step_function import StepFunctionStartExecutionOperator
        from airflow.sdk.exceptions import TaskDeferred

        operator = StepFunctionStartExecutionOperator(
            task_id="start",
            state_machine_arn=self._order.state_machine_arn,
            state_machine_input={"seconds": seconds},
            deferrable=True,
            region_name=self._order.region,
        )
        vars(operator)["hook"] = self._hook_of_worker()
        try:
            operator.execute(context_of(number, operator))
        except TaskDeferred as deferred:
            return deferred.trigger.serialize()[1]["execution_arn"], deferred.trigger
        raise RuntimeError("StepFunctionStartExecutionOperator did not defer")

    async def wait(self, number: int, trigger: Any) -> str:
        _ = number
        async for event in trigger.run():
            return "" if event.payload["status"] == "success" else str(event.payload["message"])
        return "the trigger ended without an event"

    def resume(self, arn: str) -> None:
        """``execute_complete`` asks nothing."""


class Sensor(Provider):
    """StepFunctionExecutionSensor in mode poke with its defaults; each wait is a thread here, a process there."""

    def __init__(self, order: Order) -> None:
        super().__init__(order)
        self._slots = ThreadPoolExecutor(len(order.lengths_seconds))

    def start(self, number: int, seconds: int) -> tuple[str, Any]:
        from airflow.providers.amazon.aws.sensors.step_function import StepFunctionExecutionSensor

        arn = self._hook_of_worker().start_execution(self._order.state_machine_arn, None, {"seconds": seconds})
        sensor = StepFunctionExecutionSensor(
            task_id=f"wait_{number}", execution_arn=arn, region_name=self._order.region
        )
        vars(sensor)["hook"] = self._hook_of_worker()  # 16 clients for all: the calls are the same
        return arn, sensor

    async def wait(self, number: int, trigger: Any) -> str:
        return await asyncio.get_running_loop().run_in_executor(self._slots, partial(_poked, number, trigger))


class PerThread:
    """Calls of it return one thing for each thread, made at its first call."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._made = threading.local()

    def __call__(self) -> Any:
        if not hasattr(self._made, "thing"):
            self._made.thing = self._make()
        return self._made.thing


def _poked(number: int, sensor: Any) -> str:
    """The loop of ``BaseSensorOperator.execute`` in mode poke; what poke raises fails the task."""
    from airflow.sdk.exceptions import AirflowException
    from botocore.exceptions import ClientError

    try:
        while not sensor.poke(context_of(number, sensor)):
            time.sleep(sensor.poke_interval)
    except (AirflowException, ClientError) as error:
        return f"{type(error).__name__}: {error}"
    return ""


EVENTS: Final = "stepbridge, events"
SIDES: Final[dict[str, Callable[[Order], Any]]] = {
    "stepbridge": Ours,
    EVENTS: Ours,
    "provider, deferrable": Provider,
    "provider, sensor": Sensor,
}


# --- the run ----------------------------------------------------------------------------------------------------------
class Run:
    """One order being carried out."""

    def __init__(self, order: Order, answer: Answer) -> None:
        self._order = order
        self._answer = answer
        self._side = SIDES[order.side](order)
        self._workers = ThreadPoolExecutor(WORKERS)

    async def all(self) -> None:
        """Every wait, until it is over or the deadline has come."""
        lengths = self._order.lengths_seconds
        waits = [asyncio.create_task(self._one(*each)) for each in enumerate(lengths)]
        ended, _ = await asyncio.wait(waits, timeout=self._order.deadline_seconds)
        for wait in ended:
            wait.result()

    async def _one(self, number: int, seconds: int) -> None:
        await asyncio.sleep(number * self._order.ramp_seconds / len(self._order.lengths_seconds))
        arn, trigger = await self._in_worker(self._side.start, number, seconds)
        why = await self._side.wait(number, trigger)
        self._answer.ended[arn] = time.time()
        if why:
            self._answer.failed[arn] = why[:500]
        await self._in_worker(self._side.resume, arn)

    async def _in_worker(self, step: Callable[..., Result], *arguments: Any) -> Result:
        """What the step returns; like a task, it is tried again when AWS throttled it past its client's patience."""
        from botocore.exceptions import ClientError

        from stepbridge.errors import ThrottlingError

        while True:
            try:
                return await asyncio.get_running_loop().run_in_executor(self._workers, step, *arguments)
            except (ThrottlingError, ClientError) as error:
                if isinstance(error, ClientError) and error.response["Error"]["Code"] != "ThrottlingException":
                    raise
                self._answer.throttled_tries += 1
            await asyncio.sleep(TASK_RETRY_SECONDS)


def _memory_watched(answer: Answer, ended: threading.Event) -> None:
    while not ended.wait(0.5):
        answer.memory_most_mb = max(answer.memory_most_mb, memory_mb(os.getpid()))


async def _carried_out(order: Order, answer: Answer, on_started: Callable[[], None]) -> None:
    work = Run(order, answer)
    on_started()
    await work.all()


def carried_out(order: Order) -> Answer:
    """The answer to the order."""
    connection = {
        "conn_type": "aws",
        "login": "local",
        "password": "local",
        "extra": {"region_name": order.region, "endpoint_url": order.endpoint_url},
    }
    os.environ["AIRFLOW_CONN_AWS_DEFAULT"] = json.dumps(connection)
    logging.disable(logging.WARNING)
    calls, answer, ended = Calls().install(), Answer(), threading.Event()
    for module in ("operators.step_function", "triggers.step_function", "sensors.step_function"):
        importlib.import_module(f"airflow.providers.amazon.aws.{module}")
    importlib.import_module("stepbridge.sensors.execution")
    importlib.import_module("aiobotocore.session")
    watch = threading.Thread(target=_memory_watched, args=(answer, ended), daemon=True)
    began = SimpleNamespace(cpu=0.0)

    def on_started() -> None:
        calls.clear()
        began.cpu = _cpu_seconds()
        answer.memory_before_mb = memory_mb(os.getpid())
        watch.start()

    asyncio.run(_carried_out(order, answer, on_started))
    ended.set()
    answer.cpu_seconds = _cpu_seconds() - began.cpu
    answer.sent, answer.throttled = dict(calls.sent), dict(calls.throttled)
    return answer


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Read the order's file, write the answer's; Airflow prints what it likes meanwhile."""
    order_file, answer_file = map(Path, sys.argv[1:])
    answer = carried_out(Order(**json.loads(order_file.read_text())))
    answer_file.write_text(json.dumps(asdict(answer)))
    os._exit(0)  # threads that still wait for what was not noticed are of no more use


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
