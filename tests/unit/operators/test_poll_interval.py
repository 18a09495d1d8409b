"""How often executions are polled."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepbridge.triggers.end_events import ended_execution
from stepbridge.triggers.poll_interval import (
    LONGEST_SAFETY_SECONDS,
    LONGEST_SECONDS,
    SHORTEST_SAFETY_SECONDS,
    SHORTEST_SECONDS,
    backoff_seconds,
    hand_back_seconds,
    poll_interval,
    with_jitter,
)


@pytest.mark.parametrize(
    ("age", "pages", "expected"), [(0, 1, 1.0), (5, 1, 1.0), (60, 1, 6.0), (3600, 1, 30.0), (0, 3, 3.0), (-1, 1, 1.0)]
)
def test_the_interval_is_a_tenth_of_the_age(age: float, pages: int, expected: float) -> None:
    """Soon at first, seldom later, and no more than a call a second."""
    assert poll_interval(age, pages) == expected


@given(st.floats(0, 1e7), st.floats(0, 1e7))
def test_an_older_execution_is_never_polled_more_often(one: float, other: float) -> None:
    """The interval grows with the age and stays within its bounds."""
    younger, older = sorted((one, other))
    assert SHORTEST_SECONDS <= poll_interval(younger) <= poll_interval(older) <= LONGEST_SECONDS


@pytest.mark.parametrize(("age", "pages", "expected"), [(0, 1, 10.0), (60, 1, 30.0), (3600, 1, 120.0), (0, 20, 20.0)])
def test_where_events_report_ends_polls_are_a_safety_net(age: float, pages: int, expected: float) -> None:
    """An end whose event was lost is noticed after half of what was waited for, and two minutes at the latest."""
    assert poll_interval(age, pages, by_events=True) == expected
    assert SHORTEST_SAFETY_SECONDS <= poll_interval(age, by_events=True) <= LONGEST_SAFETY_SECONDS


def test_a_message_for_nobody_is_received_a_few_times_and_vanishes() -> None:
    """At first others have it at once; in the minute that it lives it is received seven times."""
    hidden = [hand_back_seconds(count) for count in range(1, 9)]
    assert hidden == [0, 1, 2, 4, 8, 16, 32, 32]
    assert sum(hidden[:6]) < 60 <= sum(hidden[:7])


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('{"detail": {"executionArn": "arn:e", "status": "TIMED_OUT"}}', "arn:e"),
        ('{"detail": {"executionArn": "arn:e", "status": "RUNNING"}}', None),
        ('{"detail": {"executionArn": "arn:e", "status": "NEW"}}', None),
        ('{"detail": {"status": "FAILED"}}', None),
        ('{"detail": 1}', None),
        ("[]", None),
        ("not JSON", None),
    ],
)
def test_only_the_end_of_an_execution_counts(body: str, expected: str | None) -> None:
    """Whatever else somebody sends to the queue is nobody's message."""
    assert ended_execution(body) == expected


def test_failures_slow_down_to_two_minutes() -> None:
    """Throttling is answered with patience."""
    assert [backoff_seconds(failures) for failures in (1, 2, 3, 7, 1000)] == [2.0, 4.0, 8.0, 120.0, 120.0]


def test_jitter_stays_within_a_fifth() -> None:
    """Watchers do not poll together, and none polls much later than meant."""
    assert with_jitter(10, 0.0) == 8.0
    assert with_jitter(10, 0.5) == 10.0
    assert 11.9 < with_jitter(10, 0.999) < 12.0
