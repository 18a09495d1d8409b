"""Decides which executions of a DAG run have to be stopped because no task waits for them any more. Pure.

docs/stops.md has the cases. The decision looks at the states of the tasks some seconds after the end was reported. So
it respects a clear that came meanwhile, a wait that was marked as a success, and another wait for the same execution.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

InstanceKey = tuple[str, int]
"""A task instance within its run: task id and map index, which is -1 where nothing is mapped."""

ENDED: Final = frozenset({"failed", "skipped", "upstream_failed", "removed"})


@dataclass(frozen=True)
class EndNotice:
    """An end that Airflow reported to the listener. ``marked`` are the instances; empty: the whole run ended."""

    dag_id: str
    run_id: str
    why: str
    marked: tuple[InstanceKey, ...] = ()
    skipped_only: bool = False
    """Stop only executions whose wait was skipped: the run has failed by itself."""


@dataclass(frozen=True)
class InstanceState:
    """A task instance as it is now; ``state`` is empty for none."""

    state: str
    try_number: int


@dataclass(frozen=True)
class ExecutionRecord:
    """The XCom in which a task recorded the execution that it starts or waits for, and the connection to it."""

    execution_arn: str
    aws_conn_id: str | None
    region_name: str | None


@dataclass(frozen=True)
class WaitDependency:
    """The task ``wait`` waits for what ``start`` returns. ``by_index``: both are mapped over the same list."""

    wait: str
    start: str
    by_index: bool = False


@dataclass(frozen=True)
class RunSnapshot:
    """A DAG run, its task instances and their records, as Airflow's database has them."""

    run_state: str
    instances: Mapping[InstanceKey, InstanceState]
    records: Mapping[InstanceKey, ExecutionRecord]
    dependencies: Sequence[WaitDependency]


@dataclass(frozen=True)
class Stop:
    """An execution to be stopped, and the task instance that its cause names."""

    record: ExecutionRecord
    instance: InstanceKey
    try_number: int
    why: str


def executions_to_stop(notice: EndNotice, now: RunSnapshot) -> list[Stop]:
    """The executions to be stopped, each once; none that a task still waits for or whose wait succeeded."""
    found: dict[str, Stop] = {}
    for key, record in now.records.items():
        if record.execution_arn not in found and (stop := _stop(notice, now, key, record)):
            found[record.execution_arn] = stop
    return list(found.values())


def _stop(notice: EndNotice, now: RunSnapshot, key: InstanceKey, record: ExecutionRecord) -> Stop | None:
    waits = _waits(now, record.execution_arn)
    concerned = [each for each in notice.marked if each == key or each in waits]
    if notice.marked and not any(now.instances[each].state in ENDED for each in concerned if each in now.instances):
        return None  # the mark concerns another execution, or was undone since
    if not notice.marked and now.run_state != "failed":
        return None
    if notice.skipped_only and not any(now.instances[each].state == "skipped" for each in waits):
        return None
    # A wait without a state will still run, unless its start was the one that was marked.
    ends = ENDED | {""} if key in concerned and key not in waits else ENDED
    if any(now.instances[each].state not in ends for each in waits if each not in concerned):
        return None
    named = next(iter(concerned or waits or [key]))
    return Stop(record, named, now.instances[named].try_number, notice.why)


def _waits(now: RunSnapshot, execution_arn: str) -> list[InstanceKey]:
    """The task instances that wait, waited or would have waited for the execution."""
    waiting = {dependency.wait for dependency in now.dependencies}
    found = set()
    for key in (key for key, record in now.records.items() if record.execution_arn == execution_arn):
        if key[0] in waiting:
            found.add(key)
        for dependency in now.dependencies:
            if dependency.start == key[0]:
                found.update(wait for wait in _to_come(now, dependency, key[1]) if wait not in now.records)
    return sorted(found)


def _to_come(now: RunSnapshot, dependency: WaitDependency, index: int) -> list[InstanceKey]:
    """The waits for the start's ``index`` that have not begun; an unexpanded mapped task stands for all."""
    if not dependency.by_index:
        return [key for key in now.instances if key[0] == dependency.wait]
    return next(([key] for key in ((dependency.wait, index), (dependency.wait, -1)) if key in now.instances), [])
