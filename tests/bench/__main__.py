"""``python -m tests.bench [smallest|quick|full]``: tables on standard output, figures in ``.stepbridge/bench.json``."""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table as Drawn

from tests.bench.figures import Table

__all__ = ["main"]

RESULT: Final = Path(".stepbridge/bench.json")


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    counts: tuple[int, ...]
    shortest_seconds: int
    longest_seconds: int
    ramp_seconds: int
    both_buckets: bool
    models: int
    parses: int
    turns: int


SIZES: Final = {
    "smallest": Size((2,), 2, 3, 1, both_buckets=False, models=5, parses=1, turns=1),
    "quick": Size((10, 100), 15, 60, 10, both_buckets=False, models=50, parses=1, turns=3),
    "default": Size((10, 100, 1000), 60, 300, 60, both_buckets=False, models=500, parses=2, turns=5),
    "full": Size((10, 100, 1000), 60, 300, 60, both_buckets=True, models=500, parses=5, turns=15),
}


def parts_of(size: Size) -> dict[str, Callable[[Path], Table]]:
    """The parts by name; each is given an empty folder of its own."""
    os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
    os.environ["AIRFLOW__LOGGING__LOGGING_LEVEL"] = "ERROR"
    from tests.bench.local_side import jobs, memory, storage
    from tests.bench.parsing import parsing
    from tests.bench.starts import starts
    from tests.bench.uploads import uploads
    from tests.bench.watching import WatchingPlan, sides, watching

    steady = WatchingPlan(
        counts=size.counts,
        sides=sides(),
        shortest_seconds=size.shortest_seconds,
        longest_seconds=size.longest_seconds,
        ramp_seconds=size.ramp_seconds,
        steady=True,
    )
    parts: dict[str, Callable[[Path], Table]] = {
        "watching": partial(watching, steady),
        "starts": starts,
        "parsing": partial(parsing, models=size.models, runs=size.parses),
        "uploads": partial(uploads, runs=size.turns),
        "jobs": partial(jobs, runs=size.turns),
        "storage": partial(storage, runs=size.turns),
        "memory": memory,
    }
    if size.both_buckets:
        parts["watching, full buckets"] = partial(watching, replace(steady, steady=False))
    return parts


def machine() -> dict[str, Any]:
    """What the figures were taken on, and what else it did then."""
    load = os.getloadavg()
    return {
        "processors": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9),
        "kind": platform.machine(),
        "python": platform.python_version(),
        "load_average": [round(value, 1) for value in load],
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("size", nargs="?", default="default", choices=sorted(SIZES))
    parser.add_argument("--only", action="append", help="this part only; repeatable")
    parser.add_argument("--json", type=Path, default=RESULT, help="where the figures go")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that what was started ends, too
    size, console = SIZES[options.size], Console(width=max(Console().width, 160))
    result: dict[str, Any] = {"size": options.size, "settings": asdict(size), "parts": {}}
    with tempfile.TemporaryDirectory(prefix="stepbridge-bench-", ignore_cleanup_errors=True) as temporary:
        home = Path(temporary)
        os.environ["AIRFLOW_HOME"] = str(home / "airflow")  # before anything imports Airflow
        parts = parts_of(size)
        for name in options.only or parts:
            folder = home / name.replace(" ", "-").replace(",", "")
            folder.mkdir()
            before, began = machine(), time.monotonic()
            table = parts[name](folder)
            took = {"seconds": time.monotonic() - began, "before": before, "after": machine()}
            result["parts"][name] = {"table": asdict(table), "took": took}
            _print(console, table, took)
            options.json.parent.mkdir(parents=True, exist_ok=True)
            options.json.write_text(json.dumps(result, indent=2))
    console.print(f"figures: {options.json}")


def _print(console: Console, table: Table, took: dict[str, Any]) -> None:
    drawn = Drawn(*table.columns, title=table.title, title_justify="left")
    for row in table.rows:
        drawn.add_row(*row)
    console.print(drawn)
    for note in table.notes:
        console.print(f"  {note}", highlight=False, markup=False)
    loads = (took["before"]["load_average"][0], took["after"]["load_average"][0])
    processors = took["after"]["processors"]
    console.print(
        f"  {took['seconds']:.0f} s; {processors} processors; load average {loads[0]} before, {loads[1]} after\n",
        highlight=False,
    )


if __name__ == "__main__":
    main()
