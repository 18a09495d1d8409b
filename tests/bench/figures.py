"""What the parts of the benchmark return: tables to print, and the same values for the JSON beside them."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Spread", "Table", "interleaved", "quantile"]


@dataclass(frozen=True)
class Spread:
    """A figure of several runs."""

    minimum: float
    median: float
    maximum: float
    runs: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """The spread of ``values``, at least one."""
        return cls(min(values), statistics.median(values), max(values), len(values))

    def shown(self, digits: int = 2) -> str:
        """``median (minimum to maximum)``."""
        return f"{self.median:.{digits}f} ({self.minimum:.{digits}f} to {self.maximum:.{digits}f})"


@dataclass(frozen=True)
class Table:
    """``rows`` under ``columns``; ``notes`` say how to read them; ``values`` go into the JSON."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()
    values: Mapping[str, Any] = field(default_factory=dict)


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that ``share`` (0 to 1) of the values do not exceed; there is one value at least."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, round(share * len(ordered) + 0.5) - 1))]


def interleaved(runs: int, ways: Mapping[str, Callable[[], float]], uncounted: int = 1) -> dict[str, Spread]:
    """Each way's figure, taken ``runs`` times in turns after ``uncounted`` turns that do not count.

    In turns, so that a machine that becomes slower does so for all of them.
    """
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(uncounted + runs):
        for name, way in ways.items():
            value = way()
            if turn >= uncounted:
                taken[name].append(value)
    return {name: Spread.of(values) for name, values in taken.items()}
