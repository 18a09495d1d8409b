"""The schedule of a model card as an Airflow timetable: cron in the card's time zone, from one day to another.

The days stand here and not in the DAG's ``start_date`` and ``end_date``: Airflow applies those to runs by hand too, and
makes such a run a success without tasks.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pendulum
from airflow.timetables.base import DagRunInfo, DataInterval, TimeRestriction
from airflow.timetables.interval import CronDataIntervalTimetable

LONGEST_GRACE = timedelta(hours=1)


class CardTimetable(CronDataIntervalTimetable):
    """Runs whose data interval begins from ``first`` to ``last``, both included, as clocks in the time zone show it.

    Without catchup the first run of all is that of the interval which is under way. The one before is over, and its
    input may never have been there. (It counts as under way for a quarter of its length longer, an hour at most, so
    that no run is lost when the scheduler is late.)

    A backfill has bounds of its own, and these do not count.
    """

    def __init__(self, cron: str, timezone: Any, first: date | None = None, last: date | None = None) -> None:
        super().__init__(cron, timezone)
        self.first = first
        self.last = last
        days = f"{f' from {first}' if first else ''}{f' to {last}' if last else ''}"
        self.description = f"{self.description}{days}, {timezone.name}".lstrip(", ")[:1000]

    def serialize(self) -> dict[str, Any]:
        """For Airflow's database."""
        days = {"first": self.first and self.first.isoformat(), "last": self.last and self.last.isoformat()}
        return {**super().serialize(), **days}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> CardTimetable:
        """The timetable that ``serialize`` wrote."""
        days = (data[key] and date.fromisoformat(data[key]) for key in ("first", "last"))
        return cls(data["expression"], pendulum.timezone(data["timezone"]), *days)

    def next_dagrun_info(
        self, *, last_automated_data_interval: DataInterval | None, restriction: TimeRestriction
    ) -> DagRunInfo | None:
        """The next run; None after the last day."""
        earliest, latest, catchup = restriction
        if earliest is None and latest is None:
            earliest = self._begin_of(self.first) if self.first else None
            latest = self._begin_of(self.last).end_of("day") if self.last else None
            if not catchup and last_automated_data_interval is None:
                under_way = self._under_way()
                earliest = max(earliest or under_way, under_way)
        return super().next_dagrun_info(
            last_automated_data_interval=last_automated_data_interval,
            restriction=TimeRestriction(earliest, latest, catchup),
        )

    def _begin_of(self, day: date) -> pendulum.DateTime:
        return pendulum.datetime(day.year, day.month, day.day, tz=self._timezone)

    def _under_way(self) -> pendulum.DateTime:
        """When the interval began that is under way."""
        now = pendulum.now("UTC")
        length = self._get_next(now) - self._get_prev(now)
        return self._align_to_prev(now - min(length / 4, LONGEST_GRACE))
