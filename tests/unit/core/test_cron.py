"""A card's schedule is judged by form as Airflow's own parser judges it."""

import pytest
from croniter import croniter
from hypothesis import given
from hypothesis import strategies as st

from stepbridge.core.cron import PRESETS, cron_fault


@pytest.mark.parametrize(
    "text",
    [
        "0 4 * * *",
        "*/15 0-6 1,15 * mon-fri",
        "0 0 L * *",
        "0 9 * * 5#2",
        "30 6 * jan-mar,dec 1",
        "0 0 1-31/2 * 7",
        *PRESETS,
    ],
)
def test_schedules_people_write(text):
    """Ranges, steps, lists, names, the last day, the n-th weekday and the presets."""
    assert cron_fault(text) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("daily", "five fields (minute, hour, day of month, month, day of week), not 1"),
        ("0 0 4 * * *", "five fields (minute, hour, day of month, month, day of week), not 6"),
        ("60 4 * * *", "a minute of 0 to 59, *, a range or a step, not '60'"),
        ("0 24 * * *", "an hour of 0 to 23, *, a range or a step, not '24'"),
        ("0 4 0 * *", "a day of month of 1 to 31, *, a range or a step, not '0'"),
        ("0 4 * 13 *", "a month of 1 to 12, *, a range or a step, not '13'"),
        ("0 4 * * funday", "a day of week of 0 to 7, *, a range or a step, not 'funday'"),
        ("*/0 4 * * *", "a minute of 0 to 59, *, a range or a step, not '*/0'"),
        ("30-10 4 * * *", "a minute of 0 to 59, *, a range or a step, not '30-10'"),
        ("@once", "one of @hourly, @daily, @weekly, @monthly, @quarterly, @yearly, or five cron fields"),
    ],
)
def test_what_is_no_schedule(text, expected):
    """The text says which field is wrong and what it may be."""
    assert cron_fault(text) == expected


field = st.one_of(
    st.just("*"),
    st.integers(0, 70).map(str),
    st.tuples(st.integers(0, 40), st.integers(0, 40)).map(lambda pair: f"{pair[0]}-{pair[1]}"),
    st.integers(1, 9).map(lambda step: f"*/{step}"),
    st.sampled_from(["mon", "JAN", "x", "1,2", "5/2"]),
)


@given(st.tuples(field, field, field, field, field).map(" ".join))
def test_nothing_passes_that_the_real_parser_refuses(text):
    """What the card takes, croniter takes, so that the factory meets no surprise."""
    if cron_fault(text) is None:
        assert croniter.is_valid(text)
