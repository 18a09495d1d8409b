"""A card's schedule is judged by croniter, as Airflow's timetable does."""

import pytest
from croniter import croniter
from hypothesis import given
from hypothesis import strategies as st

from stepbridge.core.cron import PRESETS, schedule_problem


@pytest.mark.parametrize(
    "text",
    [
        "0 4 * * *",
        "*/15 0-6 1,15 * mon-fri",
        "0 0 L * *",
        "0 9 * * 5#2",
        "0 9 * * L5",
        "30 6 * jan-mar,dec 1",
        "0 0 1-31/2 * 7",
        "0 0 15W * *",
        "0 22-4 * * fri-mon",
        "0 0 29 2 *",
        *PRESETS,
    ],
)
def test_schedules_people_write(text):
    """Ranges, also across midnight, steps, lists, names, the last day, the n-th weekday and the presets."""
    assert schedule_problem(text) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("daily", "five fields (minute, hour, day of month, month, day of week), not 1"),
        ("0 0 4 * * *", "five fields (minute, hour, day of month, month, day of week), not 6"),
        ("60 4 * * *", "a minute of 0 to 59, *, a range or a step, not '60'"),
        ("0 24 * * *", "an hour of 0 to 23, *, a range or a step, not '24'"),
        ("0 4 0 * *", "a day of month of 1 to 31, *, a range or a step, not '0'"),
        ("0 4 1,,2 * *", "a day of month of 1 to 31, *, a range or a step, not ''"),
        ("0 4 * 13 *", "a month of 1 to 12, *, a range or a step, not '13'"),
        ("0 4 * * funday", "a day of week of 0 to 7, *, a range or a step, not 'funday'"),
        ("0 4 * * 5L", "a day of week of 0 to 7, *, a range or a step, not '5L'"),
        ("*/0 4 * * *", "a minute of 0 to 59, *, a range or a step, not '*/0'"),
        ("30- 4 * * *", "a minute of 0 to 59, *, a range or a step, not '30-'"),
        ("@once", "one of @hourly, @daily, @weekly, @monthly, @quarterly, @yearly, or five cron fields"),
    ],
)
def test_what_is_no_schedule(text, expected):
    """The text says which field is wrong and what it may be."""
    assert schedule_problem(text) == expected


@pytest.mark.parametrize("text", ["R 4 * * *", "0 R(1-5) * * *", "H 4 * * *"])
def test_a_time_that_changes_is_no_schedule(text):
    """croniter draws another one whenever it reads the expression, so runs would come at any time."""
    assert "a range or a step, not" in schedule_problem(text)


@pytest.mark.parametrize("text", ["0 4 31 2 *", "0 0 30 feb *", "0 0 31 4,6,9,11 *"])
def test_a_schedule_that_never_comes(text):
    """31 February has the form of a cron expression; Airflow's own DAG processor would end with it."""
    assert schedule_problem(text) == "a schedule with a next date; this one never comes"


def test_what_is_wrong_only_as_a_whole_is_said_in_croniters_words():
    """Each item is right by itself."""
    assert schedule_problem("0 0 1W,15W * *").startswith("a cron expression; croniter says [0 0 1W,15W * *]")


field = st.one_of(
    st.just("*"),
    st.integers(0, 70).map(str),
    st.tuples(st.integers(0, 40), st.integers(0, 40)).map(lambda pair: f"{pair[0]}-{pair[1]}"),
    st.integers(1, 9).map(lambda step: f"*/{step}"),
    st.sampled_from(["mon", "JAN", "x", "1,2", "5/2", "l", "15w", "1#2", "?", "R", "99999999999", "1-99999999999/3"]),
    st.text("0123456789*/-,#LWRHlwrh?()", min_size=1, max_size=8),
)


@given(st.tuples(field, field, field, field, field).map(" ".join))
def test_what_the_card_takes_has_a_next_date(text):
    """The DAG builder meets no surprise, and no text raises anything else."""
    if schedule_problem(text) is None:
        assert croniter(text).get_next()
