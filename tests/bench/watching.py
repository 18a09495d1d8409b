"""Waiting for many executions: ours beside the provider's, at the same time, at AWS's token-bucket rates."""

from __future__ import annotations

import inspect
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any, Final

from tests.bench.figures import Table, quantile
from tests.bench.servers import Server, client_of, local_aws, set_faults
from tests.bench.waits import EVENTS, SIDES, Answer, Order

__all__ = ["RATES", "WatchingPlan", "sides", "watching"]

MACHINE: Final = {"StartAt": "W", "States": {"W": {"Type": "Wait", "SecondsPath": "$.seconds", "End": True}}}
GRACE_SECONDS: Final = 300.0
"""After the last execution has ended: the provider's longest delay, throttled, and the start of a thousand waits."""

SAMPLE_SECONDS: Final = 10.0
SATURATED: Final = 0.7
"""The share of a processor from which on the one process of the local AWS is in the way of what is measured."""

ROLE: Final = "arn:aws:iam::123456789012:role/bench"
REGIONS: Final = (
    *("us-east-1", "us-east-2", "us-west-1", "us-west-2", "eu-west-1", "eu-west-2", "eu-west-3", "eu-central-1"),
    *("eu-north-1", "ap-northeast-1", "ap-northeast-2", "ap-southeast-1", "ap-southeast-2", "ap-south-1", "sa-east-1"),
)
"""One for each wait; what rate each has is set, and the same for all: that of us-east-1."""

RATES: Final[Mapping[str, tuple[int, int]]] = {
    "states:StartExecution": (1300, 300),
    "states:DescribeExecution": (300, 15),
    "states:ListExecutions": (200, 5),
    "states:GetExecutionHistory": (400, 20),
}
"""Bucket and refill per second in us-east-1 (local/docs/fault-injection.md)."""
COLUMNS: Final = (
    "executions",
    "waited for by",
    "API calls an execution",
    "of these throttled",
    "delay s: median",
    "95 %",
    "longest",
    "falsely failed",
    "tries lost to throttling",
    "CPU s",
    "memory MB",
)


@dataclass(frozen=True)
class WatchingPlan:
    """``counts`` executions for each of ``sides``, started within ``ramp_seconds``, of lengths between the other two.

    ``steady``: buckets no larger than a second's refill, as in an account that is busy all the time; else full ones.
    """

    counts: Sequence[int]
    sides: Sequence[str]
    shortest_seconds: int
    longest_seconds: int
    ramp_seconds: int
    steady: bool


@dataclass(frozen=True)
class _Wait:
    """One side that waits for ``count`` executions, in a region of its own, since rates are per account and region."""

    side: str
    count: int
    region: str
    machine_arn: str
    events_queue_url: str = ""


@dataclass(frozen=True)
class _Figures:
    side: str
    executions: int
    calls: Mapping[str, float]
    throttled: float
    delay_seconds: Mapping[str, float]
    falsely_failed: int
    unnoticed: int
    late: int
    throttled_tries: int
    first_failure: str
    cpu_seconds: float
    memory_mb: float
    memory_grown_mb: float

    def shown(self) -> list[str]:
        delays = [f"{self.delay_seconds[key]:.1f}" if self.delay_seconds else "-" for key in ("median", "p95", "max")]
        calls = [f"{sum(self.calls.values()):.2f}", f"{self.throttled:.2f}"]
        failed = str(self.falsely_failed) + (f" and {self.unnoticed} unnoticed" if self.unnoticed else "")
        used = [f"{self.cpu_seconds:.1f}", f"{self.memory_mb:.0f} (+{self.memory_grown_mb:.0f})"]
        return [str(self.executions), self.side, *calls, *delays, failed, str(self.throttled_tries), *used]


def sides() -> tuple[str, ...]:
    """What can be measured here: the event-driven mode only once ExecutionTrigger has it."""
    from stepbridge.triggers.execution import ExecutionTrigger

    has_events = "events_queue_url" in inspect.signature(ExecutionTrigger).parameters
    return tuple(side for side in SIDES if has_events or side != EVENTS)


def watching(plan: WatchingPlan, folder: Path) -> Table:
    """The table; all of the plan runs at the same time, each side and count in a region of its own."""
    with ExitStack() as stack:
        server = stack.enter_context(local_aws(folder / "local-aws"))
        waits = [_wait(server, number, *each) for number, each in enumerate(product(plan.sides, plan.counts))]
        set_faults(server, [_throttling(plan)])
        processes = [stack.enter_context(_process(plan, server, wait, folder)) for wait in waits]
        shares = _busy_shares(server, processes)
        set_faults(server, [])
        figures = [_figures(server, wait, _answer(wait, folder)) for wait in waits]
    return _table(plan, sorted(figures, key=lambda each: each.executions), shares)


def _throttling(plan: WatchingPlan) -> dict[str, Any]:
    rates = {
        name: {"bucket": refill if plan.steady else bucket, "refill_per_second": refill}
        for name, (bucket, refill) in RATES.items()
    }
    return {"fault": "throttling", "rates": rates}


def _wait(server: Server, number: int, side: str, count: int) -> _Wait:
    region = REGIONS[number]
    client = client_of(server, "stepfunctions", region)
    arn = client.create_state_machine(name="bench", definition=json.dumps(MACHINE), roleArn=ROLE)["stateMachineArn"]
    queue = _queue_of_ends(server, region, arn) if side == EVENTS else ""
    return _Wait(side, count, region, arn, queue)


def _queue_of_ends(server: Server, region: str, machine_arn: str) -> str:
    """The URL of a queue that EventBridge sends the ends of the machine's executions to, as infra/stack.yaml's."""
    sqs, events = client_of(server, "sqs", region), client_of(server, "events", region)
    url: str = sqs.create_queue(
        QueueName="bench", Attributes={"MessageRetentionPeriod": "60", "VisibilityTimeout": "5"}
    )["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    pattern = {
        "source": ["aws.states"],
        "detail-type": ["Step Functions Execution Status Change"],
        "detail": {"stateMachineArn": [machine_arn], "status": ["SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED"]},
    }
    events.put_rule(Name="bench", EventPattern=json.dumps(pattern), State="ENABLED")
    events.put_targets(Rule="bench", Targets=[{"Id": "queue", "Arn": arn}])
    return url


@contextmanager
def _process(plan: WatchingPlan, server: Server, wait: _Wait, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The process of ``tests.bench.waits`` that carries out the wait; what is left of it ends with the block."""
    draw = random.Random(wait.count)  # the same lengths for every side
    order = Order(
        side=wait.side,
        endpoint_url=server.url,
        region=wait.region,
        state_machine_arn=wait.machine_arn,
        lengths_seconds=[draw.randint(plan.shortest_seconds, plan.longest_seconds) for _ in range(wait.count)],
        ramp_seconds=plan.ramp_seconds,
        events_queue_url=wait.events_queue_url,
        deadline_seconds=plan.ramp_seconds + plan.longest_seconds + GRACE_SECONDS,
    )
    file = folder / f"order-{wait.region}.json"
    file.write_text(json.dumps(asdict(order)))
    command = [sys.executable, "-m", "tests.bench.waits", str(file), str(_answer_file(wait, folder))]
    log = (folder / f"log-{wait.region}.txt").open("wb")
    with log, subprocess.Popen(command, stdout=log, stderr=log, env=_environment(folder, wait)) as process:
        try:
            yield process
        finally:
            process.kill()


def _environment(folder: Path, wait: _Wait) -> dict[str, str]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "AIRFLOW_"))}
    return plain | {"AIRFLOW_HOME": str(folder / f"airflow-{wait.region}")}


def _answer_file(wait: _Wait, folder: Path) -> Path:
    return folder / f"answer-{wait.region}.json"


def _answer(wait: _Wait, folder: Path) -> Answer:
    """What the process wrote. Raises RuntimeError with its log when it wrote nothing."""
    file = _answer_file(wait, folder)
    if not file.exists():
        log = (folder / f"log-{wait.region}.txt").read_text(errors="replace")
        raise RuntimeError(f"{wait.side} did not end its {wait.count} waits:\n{log[-4000:]}")
    return Answer(**json.loads(file.read_text()))


def _busy_shares(server: Server, processes: Sequence[subprocess.Popen[bytes]]) -> list[float]:
    """The part of one processor that the local AWS used, every ten seconds until all processes have ended."""
    shares, cpu, at = [], server.cpu_seconds(), time.monotonic()
    while any(process.poll() is None for process in processes):
        time.sleep(SAMPLE_SECONDS)
        cpu_now, now = server.cpu_seconds(), time.monotonic()
        shares.append((cpu_now - cpu) / (now - at))
        cpu, at = cpu_now, now
    return shares


def _figures(server: Server, wait: _Wait, answer: Answer) -> _Figures:
    stopped = _stop_times(server, wait)
    delays = [at - stopped[arn] for arn, at in answer.ended.items() if arn in stopped.keys() - answer.failed.keys()]
    by_name = {"median": 0.5, "p95": 0.95, "max": 1.0}
    return _Figures(
        side=wait.side,
        executions=wait.count,
        calls={name: calls / wait.count for name, calls in sorted(answer.sent.items())},
        throttled=sum(answer.throttled.values()) / wait.count,
        delay_seconds={name: quantile(delays, share) for name, share in by_name.items()} if delays else {},
        falsely_failed=len(answer.failed),
        unnoticed=len(stopped.keys() - answer.ended.keys()),
        late=wait.count - len(stopped),
        throttled_tries=answer.throttled_tries,
        first_failure=next(iter(answer.failed.values()), ""),
        cpu_seconds=answer.cpu_seconds,
        memory_mb=answer.memory_most_mb,
        memory_grown_mb=answer.memory_most_mb - answer.memory_before_mb,
    )


def _stop_times(server: Server, wait: _Wait) -> dict[str, float]:
    """When each execution ended, as Unix time. Raises RuntimeError when one failed: then a wait may say so."""
    pages = client_of(server, "stepfunctions", wait.region).get_paginator("list_executions")
    found = [each for page in pages.paginate(stateMachineArn=wait.machine_arn) for each in page["executions"]]
    odd = [each for each in found if each["status"] not in {"SUCCEEDED", "RUNNING"}]
    if odd:
        raise RuntimeError(f"executions that only wait have failed: {odd[:3]}")
    return {each["executionArn"]: each["stopDate"].timestamp() for each in found if "stopDate" in each}


def _table(plan: WatchingPlan, figures: Sequence[_Figures], shares: Sequence[float]) -> Table:
    buckets = "as small as their refill (a busy account)" if plan.steady else "AWS's own, full at the beginning"
    mean, most = sum(shares) / len(shares), max(shares)
    of_operations = [
        f"{each.executions} by {each.side}: " + ", ".join(f"{name} {calls:.2f}" for name, calls in each.calls.items())
        for each in figures
    ]
    failures = [
        f"{each.executions} by {each.side} failed: {each.first_failure}" for each in figures if each.falsely_failed
    ]
    late = [
        f"{each.executions} by {each.side}: {each.late} were started so late, their workers being throttled, that they "
        "still ran at the deadline"
        for each in figures
        if each.late
    ]
    verdict = "was saturated: delays are partly its own" if mean > SATURATED else "was not saturated"
    return Table(
        title=f"Waiting for executions of {plan.shortest_seconds} to {plan.longest_seconds} s; buckets {buckets}",
        columns=COLUMNS,
        rows=[each.shown() for each in figures],
        notes=[
            *of_operations,
            *failures,
            *late,
            f"the local AWS {verdict}: {mean:.0%} of a processor on average, {most:.0%} in its busiest ten seconds",
            "the sensor's waits are threads here; each needs a worker process (see the slots below)",
        ],
        values={
            "plan": asdict(plan),
            "server_cpu_share": {"mean": mean, "most": most},
            "waits": [asdict(each) for each in figures],
        },
    )
