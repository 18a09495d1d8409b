"""Which executions of a DAG run nobody waits for any more, and why they are to be stopped. Pure.

A wait that has begun stops its execution itself, in the worker or in the triggerer. What is left is what ends when
neither has it: between ``start_execution`` and its wait, in a deferral that no triggerer has taken up, in a worker that
does not answer. Whether an execution goes on is decided by the states that its tasks are in some seconds after the end
was told, so a clear that came meanwhile, a wait marked as a success and another wait for the same execution count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

__all__ = ["Ended", "Instance", "Key", "Record", "Snapshot", "Stop", "Wiring", "stops"]

Key = tuple[str, int]
"""A task instance within its run: task id and map index, which is -1 where nothing is mapped."""

ENDED: Final = frozenset({"failed", "skipped", "upstream_failed", "removed"})


@dataclass(frozen=True)
class Ended:
    """What a listener was told. ``task_ids`` are the instances that were marked; empty: it was the whole run."""

    dag_id: str
    run_id: str
    why: str
    marked: tuple[Key, ...] = ()
    skipped_only: bool = False
    """Whether only those are to be stopped whose wait was skipped: the run has failed by itself."""


@dataclass(frozen=True)
class Instance:
    """A task instance as it is now; ``state`` is empty for none."""

    state: str
    try_number: int


@dataclass(frozen=True)
class Record:
    """What a task wrote down about the execution that it starts or waits for, and how it is reached."""

    execution_arn: str
    aws_conn_id: str | None
    region_name: str | None


@dataclass(frozen=True)
class Wiring:
    """The waits of the DAG that wait for what one start returns. ``by_index``: the start and they are mapped alike."""

    wait: str
    start: str
    by_index: bool = False


@dataclass(frozen=True)
class Snapshot:
    """A run, its task instances and their records."""

    run_state: str
    instances: Mapping[Key, Instance]
    records: Mapping[Key, Record]
    wirings: Sequence[Wiring]


@dataclass(frozen=True)
class Stop:
    """An execution to be stopped in the name of a task instance, and what became of that."""

    record: Record
    instance: Key
    try_number: int
    why: str


def stops(ended: Ended, now: Snapshot) -> list[Stop]:
    """The executions to be stopped, one line each; an execution that still is, or was well, waited for is none."""
    found: dict[str, Stop] = {}
    for key, record in now.records.items():
        if record.execution_arn not in found:
            stop = _stop(ended, now, key, record)
            if stop:
                found[record.execution_arn] = stop
    return list(found.values())


def _stop(ended: Ended, now: Snapshot, key: Key, record: Record) -> Stop | None:
    waits = _waits(now, record.execution_arn)
    concerned = [each for each in ended.marked if each == key or each in waits]
    if ended.marked and not any(now.instances[each].state in ENDED for each in concerned if each in now.instances):
        return None  # it is about others, or they were cleared or marked otherwise since
    if not ended.marked and (now.run_state != "failed" or (ended.skipped_only and not _skipped(now, waits))):
        return None
    # A wait that has no state yet will have its turn, unless it was the start that ended badly.
    ends = ENDED | {""} if key in concerned and key not in waits else ENDED
    if any(now.instances[each].state not in ends for each in waits if each not in concerned):
        return None
    of = next(iter(concerned or waits or [key]))
    return Stop(record, of, now.instances[of].try_number, ended.why)


def _skipped(now: Snapshot, waits: Sequence[Key]) -> bool:
    return any(now.instances[each].state == "skipped" for each in waits)


def _waits(now: Snapshot, execution_arn: str) -> list[Key]:
    """The instances that wait, waited or would have waited for the execution."""
    waiting = {wiring.wait for wiring in now.wirings}
    same = {key for key, record in now.records.items() if record.execution_arn == execution_arn}
    begun = {key for key in same if key[0] in waiting}
    to_come = {
        wait
        for task, index in same
        for wiring in now.wirings
        if wiring.start == task
        for wait in _to_come(now, wiring, index)
        if wait not in now.records
    }
    return sorted(begun | to_come)


def _to_come(now: Snapshot, wiring: Wiring, index: int) -> list[Key]:
    """The waits of one wiring for the start's ``index``; one that is not expanded yet stands for all."""
    keys = [key for key in now.instances if key[0] == wiring.wait]
    if wiring.by_index and (wiring.wait, index) in now.instances:
        return [(wiring.wait, index)]
    return [key for key in keys if key[1] == -1] if wiring.by_index else keys
