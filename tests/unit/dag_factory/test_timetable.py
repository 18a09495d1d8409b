"""When a card's runs are due."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from itertools import islice

import pendulum
import pytest
from airflow.serialization.decoders import decode_timetable
from airflow.serialization.encoders import encode_timetable
from airflow.timetables.base import DagRunInfo, DataInterval, TimeRestriction

from stepbridge.timetable import CardTimetable

NEW_YORK = pendulum.timezone("America/New_York")


def runs(timetable: CardTimetable, *, catchup: bool, last: DataInterval | None = None) -> Iterator[DagRunInfo]:
    """The runs that the scheduler makes, one after the other."""
    while True:
        restriction = TimeRestriction(None, None, catchup)
        run = timetable.next_dagrun_info(last_automated_data_interval=last, restriction=restriction)
        if run is None:
            return
        yield run
        last = run.data_interval


def days(found: Iterator[DagRunInfo]) -> list[str]:
    """The local day on which each run's data interval begins."""
    return [f"{run.data_interval.start.in_timezone(NEW_YORK):%Y-%m-%d}" for run in found]


def test_catchup_runs_from_the_first_to_the_last_day() -> None:
    """Both included, as clocks in the card's zone show them."""
    timetable = CardTimetable("30 23 * * *", NEW_YORK, date(2013, 4, 1), date(2013, 4, 3))
    assert days(runs(timetable, catchup=True)) == ["2013-04-01", "2013-04-02", "2013-04-03"]


def test_after_the_last_day_nothing_is_due() -> None:
    """With and without catchup."""
    assert not list(runs(CardTimetable("0 4 * * *", NEW_YORK, None, date(2013, 12, 31)), catchup=False))


@pytest.mark.parametrize(
    ("cron", "now", "begins", "due"),
    [
        ("30 2 * * *", "2026-07-10T15:00", "2026-07-10T02:30", "2026-07-11T02:30"),
        ("30 2 * * *", "2026-07-10T02:00", "2026-07-09T02:30", "2026-07-10T02:30"),
        ("30 2 * * *", "2026-07-10T03:00", "2026-07-09T02:30", "2026-07-10T02:30"),  # the scheduler may be late
        ("0 * * * *", "2026-07-10T02:16", "2026-07-10T02:00", "2026-07-10T03:00"),
        ("0 * * * *", "2026-07-10T02:14", "2026-07-10T01:00", "2026-07-10T02:00"),
        ("30 2 1 * *", "2026-07-10T15:00", "2026-07-01T02:30", "2026-08-01T02:30"),
    ],
)
def test_a_new_model_begins_with_the_interval_under_way(
    monkeypatch: pytest.MonkeyPatch, cron: str, now: str, begins: str, due: str
) -> None:
    """And not with the one that is over, whose input may never have been there."""
    moment = pendulum.parse(now, tz="America/New_York").in_timezone("UTC")
    monkeypatch.setattr(pendulum, "now", lambda _: moment)
    monkeypatch.setattr("airflow.timetables.interval.utcnow", lambda: moment)
    (run,) = islice(runs(CardTimetable(cron, NEW_YORK), catchup=False), 1)
    local = (run.data_interval.start.in_timezone(NEW_YORK), run.run_after.in_timezone(NEW_YORK))
    assert tuple(f"{each:%Y-%m-%dT%H:%M}" for each in local) == (begins, due)


def test_a_model_that_has_run_goes_on_as_airflow_does() -> None:
    """Without catchup a DAG that was paused begins again with the latest interval that is over."""
    timetable = CardTimetable("30 2 * * *", NEW_YORK)
    earlier = DataInterval(pendulum.datetime(2020, 1, 1), pendulum.datetime(2020, 1, 2))
    (run,) = islice(runs(timetable, catchup=False, last=earlier), 1)
    assert run.data_interval.end <= pendulum.now("UTC") < run.data_interval.end.add(days=1)


def test_a_future_first_day_is_waited_for() -> None:
    """The first run is that day's."""
    first = pendulum.now(NEW_YORK).add(days=10).date()
    (run,) = islice(runs(CardTimetable("30 2 * * *", NEW_YORK, first), catchup=False), 1)
    assert run.data_interval.start.in_timezone(NEW_YORK).date() == first


def test_a_backfill_has_bounds_of_its_own() -> None:
    """Somebody who asks for a day before the first gets it."""
    timetable = CardTimetable("30 2 * * *", NEW_YORK, date(2013, 4, 1), date(2013, 4, 3))
    restriction = TimeRestriction(pendulum.datetime(2012, 1, 1), pendulum.datetime(2012, 1, 2), catchup=True)
    run = timetable.next_dagrun_info(last_automated_data_interval=None, restriction=restriction)
    assert run is not None
    assert run.data_interval.start == pendulum.datetime(2012, 1, 1, 7, 30)


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Tokyo", "Pacific/Kiritimati", "Africa/Monrovia"])
@pytest.mark.parametrize("last", [date(9999, 12, 31), date(1900, 1, 1), None])
@pytest.mark.parametrize("first", [date(1900, 1, 1), date(9000, 1, 1), None])
@pytest.mark.parametrize("cron", ["@daily", "*/5 * * * *", "0 0 29 2 *", "59 23 31 12 *"])
def test_the_ends_of_time(cron: str, first: date | None, last: date | None, zone: str) -> None:
    """Nothing overflows, and the database gives back what it was given."""
    timetable = CardTimetable(cron, pendulum.timezone(zone), first, last)
    again = decode_timetable(encode_timetable(timetable))
    assert isinstance(again, CardTimetable)
    assert (again, again.first, again.last, again.description) == (timetable, first, last, timetable.description)
    for catchup in (False, True):
        list(islice(runs(again, catchup=catchup), 2))
