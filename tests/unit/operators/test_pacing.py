"""How often executions are looked at."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepbridge.triggers.pacing import LONGEST_SECONDS, SHORTEST_SECONDS, backed_off, jittered, look_interval


@pytest.mark.parametrize(
    ("age", "pages", "expected"), [(0, 1, 1.0), (5, 1, 1.0), (60, 1, 6.0), (3600, 1, 30.0), (0, 3, 3.0), (-1, 1, 1.0)]
)
def test_the_interval_is_a_tenth_of_the_age(age: float, pages: int, expected: float) -> None:
    """Soon at first, seldom later, and no more than a call a second."""
    assert look_interval(age, pages) == expected


@given(st.floats(0, 1e7), st.floats(0, 1e7))
def test_an_older_execution_is_never_looked_at_more_often(one: float, other: float) -> None:
    """The interval grows with the age and stays within its bounds."""
    younger, older = sorted((one, other))
    assert SHORTEST_SECONDS <= look_interval(younger) <= look_interval(older) <= LONGEST_SECONDS


def test_failures_slow_down_to_two_minutes() -> None:
    """Throttling is answered with patience."""
    assert [backed_off(failures) for failures in (1, 2, 3, 7, 1000)] == [2.0, 4.0, 8.0, 120.0, 120.0]


def test_jitter_stays_within_a_fifth() -> None:
    """Watchers do not look together, and none much later than meant."""
    assert jittered(10, 0.0) == 8.0
    assert jittered(10, 0.5) == 10.0
    assert 11.9 < jittered(10, 0.999) < 12.0
