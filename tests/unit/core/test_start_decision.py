"""Every row of the table in ``core.start_decision``."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepbridge.core.failures import EXECUTION_FAILURES, KILLED, STOPPED, SUPERSEDED, Retry
from stepbridge.core.start_decision import CLEARED, Snapshot, Step, next_step
from stepbridge.core.statuses import EXECUTION_STATUSES, execution_status
from stepbridge.errors import UnknownStatusError

RUNNING = Snapshot("RUNNING")
SUCCEEDED = Snapshot("SUCCEEDED")
PASSES = Snapshot("FAILED", "CapacityError", redrive_status="REDRIVABLE")
LOST = Snapshot("FAILED", "CapacityError", redrive_status="NOT_REDRIVABLE")
SCRIPT = Snapshot("FAILED", "AlgorithmError", redrive_status="REDRIVABLE")
BY_CLEAR = Snapshot("ABORTED", KILLED, f"task a.b of run r, try 1 was {CLEARED}, while it waited", "REDRIVABLE")
OTHER_INPUT = {"same_input": False}


@pytest.mark.parametrize(
    ("found", "on_retry", "when_cleared"),
    [
        (None, Step.START, Step.START),
        (RUNNING, Step.ADOPT, Step.REPLACE),
        (Snapshot("PENDING_REDRIVE"), Step.ADOPT, Step.REPLACE),
        (SUCCEEDED, Step.ADOPT, Step.START_ANEW),
        (PASSES, Step.REDRIVE, Step.START_ANEW),
        (LOST, Step.REPLACE, Step.START_ANEW),
        (SCRIPT, Step.REPORT, Step.START_ANEW),
        (Snapshot("FAILED", "Unheard.Of", redrive_status="REDRIVABLE"), Step.REDRIVE, Step.START_ANEW),
        (Snapshot("TIMED_OUT", "States.Timeout", redrive_status="REDRIVABLE"), Step.REPORT, Step.START_ANEW),
        (Snapshot("ABORTED", "by jane", redrive_status="REDRIVABLE"), Step.REPORT, Step.START_ANEW),
        (Snapshot("ABORTED", KILLED, "killed", "REDRIVABLE"), Step.REDRIVE, Step.START_ANEW),
        (Snapshot("ABORTED", STOPPED, "late", "REDRIVABLE"), Step.REDRIVE, Step.START_ANEW),
        (BY_CLEAR, Step.REDRIVE, Step.REPLACE),
        (Snapshot("ABORTED", SUPERSEDED, "", "REDRIVABLE"), Step.REPLACE, Step.REPLACE),
        (Snapshot("RUNNING", **OTHER_INPUT), Step.REPLACE, Step.REPLACE),
        (Snapshot("SUCCEEDED", **OTHER_INPUT), Step.REPLACE, Step.START_ANEW),
        (Snapshot("FAILED", "AlgorithmError", **OTHER_INPUT), Step.REPLACE, Step.START_ANEW),
    ],
)
def test_each_row_of_the_table(found: Snapshot | None, on_retry: Step, when_cleared: Step) -> None:
    """What a start finds, and whether it was cleared since, decides what it does."""
    assert next_step(found, cleared=False) is on_retry
    assert next_step(found, cleared=True) is when_cleared


@pytest.mark.parametrize("row", EXECUTION_FAILURES, ids=lambda row: f"{row.status} {row.error} {row.kind}")
def test_a_retry_redrives_exactly_what_the_table_of_failures_retries(row) -> None:
    """One table decides for start and wait; what took another's place is the only row of its own."""
    if row.text:
        return  # decided with a text that only the job's log has
    found = Snapshot(row.status, row.error.replace("*", "Any"), "", "REDRIVABLE")
    expected = Step.REPORT if row.retry is Retry.NEVER else Step.REDRIVE
    assert next_step(found, cleared=False) is (Step.REPLACE if row.error == SUPERSEDED else expected)


def test_an_unknown_status_is_an_error() -> None:
    """A status without a row is never guessed at."""
    with pytest.raises(UnknownStatusError, match="EXPLODED"):
        next_step(Snapshot("EXPLODED"), cleared=False)


snapshots = st.builds(
    Snapshot,
    st.sampled_from(sorted(EXECUTION_STATUSES)),
    st.sampled_from(["", "AlgorithmError", "CapacityError", KILLED, STOPPED, SUPERSEDED]),
    st.sampled_from(["", BY_CLEAR.cause]),
    st.sampled_from(["", "REDRIVABLE", "NOT_REDRIVABLE"]),
    st.booleans(),
)


@given(snapshots, st.booleans())
def test_a_clear_always_starts_a_new_execution_and_a_retry_never_pays_twice(found: Snapshot, cleared: bool) -> None:
    """A clear never continues an old execution. A retry with the same input starts another one only after a failure."""
    step = next_step(found, cleared=cleared)
    status = execution_status(found.status)
    if cleared:
        assert step in {Step.REPLACE, Step.START_ANEW}
        assert step is Step.REPLACE or status.terminal
    elif found.same_input and found.error != SUPERSEDED:
        assert (step is Step.ADOPT) == (not status.failed)
        assert step is not Step.REDRIVE or found.redrive_status == "REDRIVABLE"
    else:
        assert step is Step.REPLACE
