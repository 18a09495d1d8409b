"""Every row of the table in ``core.start_decision``."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepbridge.core.start_decision import ABSENT, Adopt, Describe, Identity, Redrive, Snapshot, Start, Step, next_step
from stepbridge.core.statuses import EXECUTION_STATUSES
from stepbridge.errors import UnknownStatusError

RUNNING = Snapshot("RUNNING")
SUCCEEDED = Snapshot("SUCCEEDED")
REDRIVABLE = Snapshot("FAILED", "REDRIVABLE")
ABORTED = Snapshot("ABORTED", "REDRIVABLE")
LOST = Snapshot("FAILED", "NOT_REDRIVABLE")

FIRST, SECOND = Identity(0, 0), Identity(0, 1)
CLEARED = Identity(1, 0)


def played(clear_number: int, world: Mapping[Identity, Snapshot]) -> tuple[Step, int]:
    """The step that ends the questions when the account holds ``world``, and how many were asked."""
    seen: dict[Identity, Snapshot] = {}
    for asked in range(100):
        step = next_step(clear_number, seen)
        found = world.get(step.at, ABSENT)
        if isinstance(step, Describe) or (isinstance(step, Start) and found.exists):
            assert step.at not in seen, f"{step} asks again"
            seen[step.at] = found
            continue
        return step, asked
    raise AssertionError(f"no end after {seen}")


@pytest.mark.parametrize(
    ("clear_number", "world", "expected"),
    [
        (0, {}, Start(FIRST)),
        (0, {FIRST: RUNNING}, Adopt(FIRST)),
        (0, {FIRST: Snapshot("PENDING_REDRIVE")}, Adopt(FIRST)),
        (0, {FIRST: SUCCEEDED}, Adopt(FIRST)),
        (0, {FIRST: REDRIVABLE}, Redrive(FIRST)),
        (0, {FIRST: ABORTED}, Redrive(FIRST)),
        (0, {FIRST: Snapshot("TIMED_OUT", "REDRIVABLE")}, Redrive(FIRST)),
        (0, {FIRST: LOST}, Start(SECOND)),
        (0, {FIRST: LOST, SECOND: RUNNING}, Adopt(SECOND)),
        (0, {FIRST: LOST, SECOND: REDRIVABLE}, Redrive(SECOND)),
        (0, {FIRST: LOST, SECOND: LOST}, Start(Identity(0, 2))),
        (1, {FIRST: REDRIVABLE}, Redrive(FIRST)),
        (1, {FIRST: LOST}, Start(CLEARED)),
        (1, {FIRST: LOST, SECOND: REDRIVABLE}, Redrive(SECOND)),
        (1, {FIRST: LOST, SECOND: SUCCEEDED}, Start(CLEARED)),
        (1, {FIRST: SUCCEEDED}, Start(CLEARED)),
        (1, {FIRST: RUNNING}, Adopt(FIRST)),
        (1, {FIRST: SUCCEEDED, CLEARED: SUCCEEDED}, Adopt(CLEARED)),
        (1, {FIRST: SUCCEEDED, CLEARED: LOST}, Start(Identity(1, 1))),
        (1, {}, Start(CLEARED)),
        (3, {FIRST: REDRIVABLE}, Redrive(FIRST)),
        (3, {FIRST: REDRIVABLE, Identity(2, 0): SUCCEEDED}, Start(Identity(3, 0))),
    ],
)
def test_each_row_of_the_table(clear_number: int, world: dict[Identity, Snapshot], expected: Step) -> None:
    """What a start finds decides what it does."""
    assert played(clear_number, world)[0] == expected


def test_the_usual_start_looks_at_nothing() -> None:
    """A run that was never cleared starts with one call: DescribeExecution's quota is the smaller one."""
    assert played(0, {}) == (Start(FIRST), 0)


def test_an_execution_that_cannot_be_redriven_after_all_gets_a_new_attempt() -> None:
    """AWS may refuse a redrive that it announced; then the next attempt is started."""
    assert next_step(0, {FIRST: Snapshot("FAILED", "NOT_REDRIVABLE")}) == Start(SECOND)


def test_what_this_clear_has_reused_counts_as_its_own() -> None:
    """Redriven after a clear, succeeded, and the worker died before it could say so: adopted, not done again."""
    seen = {CLEARED: ABSENT, FIRST: SUCCEEDED}
    assert next_step(1, seen) == Start(CLEARED)
    assert next_step(1, seen, reused=FIRST) == Adopt(FIRST)
    assert next_step(1, {CLEARED: ABSENT, FIRST: REDRIVABLE}, reused=FIRST) == Redrive(FIRST)


def test_an_unknown_status_is_an_error() -> None:
    """A status without a row is never guessed at."""
    with pytest.raises(UnknownStatusError, match="EXPLODED"):
        next_step(0, {FIRST: Snapshot("EXPLODED")})


snapshots = st.builds(
    Snapshot, st.sampled_from(sorted(EXECUTION_STATUSES)), st.sampled_from(["", "REDRIVABLE", "NOT_REDRIVABLE"])
)
worlds = st.dictionaries(st.builds(Identity, st.integers(0, 4), st.integers(0, 4)), snapshots)


@given(st.integers(0, 4), worlds)
def test_every_world_has_an_answer_that_pays_for_nothing_twice(
    clear_number: int, world: dict[Identity, Snapshot]
) -> None:
    """Questions end; what is started is absent, what is redriven had failed, no later clear is touched."""
    step, _ = played(clear_number, world)
    found = world.get(step.at, ABSENT)
    assert step.at.clear_number <= clear_number
    if isinstance(step, Start):
        assert not found.exists
        assert step.at.clear_number == clear_number
    elif isinstance(step, Redrive):
        assert found.redrivable
    else:
        assert found.running or found.succeeded
