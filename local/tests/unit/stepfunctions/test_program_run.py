"""Where a redrive continues, and how that is recorded."""

from __future__ import annotations

import json

from stepbridge_local.services.stepfunctions.program_run import (
    Checkpoint,
    ProgramRun,
    run_from_record,
    run_to_record,
)


def in_parallel() -> ProgramRun:
    """A run in a Parallel state, with one finished branch and one that stopped in a state."""
    finished = ProgramRun(Checkpoint("Left", 1, {}), finished=True, output={"a": 1})
    stopped = ProgramRun(Checkpoint("Right", 2, {"x": 3}))
    return ProgramRun(Checkpoint("Both", {}, {}, {0: finished, 1: stopped}))


def test_a_run_survives_its_record() -> None:
    """As JSON; with branches all of it, without them the state alone."""
    run = in_parallel()
    record = json.loads(json.dumps(run_to_record(run, with_branches=True)))
    assert run_from_record(record) == run
    alone = run_from_record(run_to_record(run, with_branches=False))
    assert alone.checkpoint == Checkpoint("Both", {}, {})
    assert run_from_record(None) == ProgramRun()


def test_records_of_earlier_versions_are_read() -> None:
    """Branches are below "lanes", whatever they are called in the code."""
    record = run_to_record(in_parallel(), with_branches=True)
    assert list(record) == ["finished", "output", "checkpoint"]
    assert list(record["checkpoint"]) == ["state_name", "state_input", "variables", "lanes"]
    assert list(record["checkpoint"]["lanes"]) == ["0", "1"]


def test_a_redrive_continues_what_is_not_finished() -> None:
    """The state and the branch that stopped; the finished branch keeps its output."""
    run = in_parallel()
    run.redrive()
    assert run.checkpoint is not None
    assert run.redriven
    assert run.checkpoint.continues
    finished, stopped = run.checkpoint.runs.values()
    assert (finished.redriven, stopped.redriven) == (False, True)
    assert finished.output == {"a": 1}


def test_a_run_that_has_not_begun_begins_at_its_first_state() -> None:
    """A redrive has nothing to continue."""
    run = ProgramRun()
    run.redrive()
    assert run == ProgramRun()
