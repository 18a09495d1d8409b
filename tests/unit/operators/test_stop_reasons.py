"""Why a trigger was cancelled, and what becomes of the execution."""

from __future__ import annotations

import pytest

from stepbridge.triggers.stop_reasons import reason_to_stop, was_stopped_for_another_try

OWN = "task m.wait_for_execution of run a+b, try 2"


@pytest.mark.parametrize(
    ("state", "own_try", "waiting_try", "stops", "text"),
    [
        ("failed", 1, None, True, "marked as failed"),
        ("skipped", 1, None, True, "timeout of its DAG run"),
        ("removed", 1, None, True, "removed"),
        (None, 1, None, True, "cleared"),
        ("scheduled", 1, None, True, "cleared"),
        ("running", 1, None, True, "cleared"),
        ("deferred", 1, 2, True, "cleared"),
        ("deferred", 1, 1, False, "another triggerer"),
        ("success", 1, None, False, "marked as a success"),
    ],
)
def test_each_state_has_a_row(state: str | None, own_try: int, waiting_try: int | None, stops: bool, text: str) -> None:
    """Ended by somebody: stopped; called done, or taken over by another triggerer: it goes on."""
    stop, why = reason_to_stop(state, own_try, waiting_try)
    assert stop is stops
    assert text in why


@pytest.mark.parametrize(
    ("error", "cause", "expected"),
    [
        ("stepbridge.Killed", "task m.wait_for_execution of run a+b, try 1 was cleared", True),
        ("stepbridge.Killed", "task m.start_execution of run a+b, try 1 was killed", True),
        ("stepbridge.Killed", f"{OWN} was cleared", False),
        ("stepbridge.Killed", "task m.wait_for_execution of run aab, try 1 was cleared", False),
        ("AlgorithmError", "task m.wait_for_execution of run a+b, try 1 was cleared", False),
        ("", "", False),
    ],
)
def test_a_stop_for_another_try_of_the_run_is_recognised(error: str, cause: str, expected: bool) -> None:
    """Only stepbridge's own stops, for this run, and not for the try that asks."""
    assert was_stopped_for_another_try(error, cause, "a+b", OWN) is expected
