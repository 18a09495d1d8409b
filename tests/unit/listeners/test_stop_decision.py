"""Which executions nobody waits for any more."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stepbridge.listeners.stop_decision import (
    EndNotice,
    ExecutionRecord,
    InstanceKey,
    InstanceState,
    RunSnapshot,
    WaitDependency,
    executions_to_stop,
)

START, WAIT = ("start", -1), ("wait", -1)
RECORD = ExecutionRecord("arn:a", "aws_default", None)
DEPENDENCY = WaitDependency("wait", "start")
RUN = EndNotice("dag", "run", "ended by the timeout of its DAG run")


def marked(*keys: InstanceKey) -> EndNotice:
    return EndNotice("dag", "run", "marked as failed", keys)


def snapshot(start: str, wait: str, run: str = "failed") -> RunSnapshot:
    return RunSnapshot(
        run, {START: InstanceState(start, 1), WAIT: InstanceState(wait, 1)}, {START: RECORD}, [DEPENDENCY]
    )


@pytest.mark.parametrize(
    ("ended", "start", "wait", "of"),
    [
        # a mark of the wait before it began
        (marked(WAIT), "success", "failed", WAIT),
        (marked(WAIT), "success", "skipped", WAIT),
        (marked(WAIT), "success", "", None),  # cleared since
        (marked(WAIT), "success", "scheduled", None),
        (marked(WAIT), "success", "success", None),
        # a mark of the start: its wait will not come, unless it is there already
        (marked(START), "failed", "", START),
        (marked(START), "failed", "upstream_failed", START),
        (marked(START), "failed", "deferred", None),
        (marked(START), "failed", "queued", None),
        (marked(START), "failed", "success", None),
        (marked(START), "", "", None),  # cleared since
        (marked(START), "running", "", None),
        # a mark of something else
        (marked(("other", -1)), "success", "failed", None),
        # the run
        (RUN, "success", "skipped", WAIT),
        (RUN, "failed", "upstream_failed", WAIT),
        (RUN, "skipped", "skipped", WAIT),
        (RUN, "success", "success", None),
        (RUN, "success", "", None),
        (RUN, "success", "deferred", None),
    ],
)
def test_each_pair_of_states_has_a_row(ended: EndNotice, start: str, wait: str, of: InstanceKey | None) -> None:
    """Stopped in whose name, or not at all."""
    found = executions_to_stop(ended, snapshot(start, wait))
    assert [stop.instance for stop in found] == ([of] if of else [])
    assert all(stop.why == ended.why and stop.record == RECORD for stop in found)


@pytest.mark.parametrize("state", ["running", "queued", "success"])
def test_a_run_that_was_cleared_or_marked_otherwise_since_goes_on(state: str) -> None:
    """What comes after takes it up."""
    assert executions_to_stop(RUN, snapshot("success", "skipped", state)) == []


def test_a_run_that_failed_by_itself_stops_only_what_it_skipped() -> None:
    """A crash executions_to_stop nothing; a DAG that fails fast skips the wait."""
    fast = replace(RUN, skipped_only=True)
    assert executions_to_stop(fast, snapshot("failed", "upstream_failed")) == []
    assert executions_to_stop(fast, snapshot("success", "failed")) == []
    assert [stop.instance for stop in executions_to_stop(fast, snapshot("success", "skipped"))] == [WAIT]


def test_mapped_waits_stop_their_own_execution_only() -> None:
    """Index by index, whether they have begun or not; one that is not expanded yet stands for all."""
    keys = [(task, index) for task in ("start", "wait") for index in (0, 1)]
    instances = {key: InstanceState("success" if key[0] == "start" else "scheduled", 1) for key in keys}
    records = {("start", index): replace(RECORD, execution_arn=f"arn:{index}") for index in (0, 1)}
    dependency = [WaitDependency("wait", "start", by_index=True)]
    now = RunSnapshot("running", instances | {("wait", 1): InstanceState("failed", 1)}, records, dependency)
    assert [stop.record.execution_arn for stop in executions_to_stop(marked(("wait", 1)), now)] == ["arn:1"]
    begun = replace(now, records=records | {("wait", 1): records["start", 1]})
    assert [stop.record.execution_arn for stop in executions_to_stop(marked(("wait", 1)), begun)] == ["arn:1"]
    unexpanded = {key: each for key, each in instances.items() if key[0] == "start"} | {
        WAIT: InstanceState("skipped", 0)
    }
    all_of_them = executions_to_stop(RUN, replace(now, run_state="failed", instances=unexpanded))
    assert [stop.record.execution_arn for stop in all_of_them] == ["arn:0", "arn:1"]


def test_another_wait_for_the_same_execution_keeps_it() -> None:
    """Two waits, one is marked."""
    instances = {
        START: InstanceState("success", 1),
        WAIT: InstanceState("failed", 1),
        ("second", -1): InstanceState("deferred", 1),
    }
    now = RunSnapshot("running", instances, {START: RECORD}, [DEPENDENCY, WaitDependency("second", "start")])
    assert executions_to_stop(marked(WAIT), now) == []
    instances["second", -1] = InstanceState("failed", 1)
    assert [stop.instance for stop in executions_to_stop(marked(WAIT), now)] == [WAIT]


def test_a_start_without_a_wait_ends_with_its_run() -> None:
    """Nothing waits for it; the run was ended."""
    now = RunSnapshot("failed", {START: InstanceState("success", 2)}, {START: RECORD}, [])
    [stop] = executions_to_stop(RUN, now)
    assert (stop.instance, stop.try_number) == (START, 2)
