"""Whether a text is a cron expression: five fields or a preset.

This is a check by form, so that a card is judged without Airflow; Airflow's timetable judges it in full when the DAG
is built.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

__all__ = ["PRESETS", "cron_fault"]

PRESETS: Final = ("@hourly", "@daily", "@weekly", "@monthly", "@quarterly", "@yearly")
"""The presets that stand for a cron expression; @once and @continuous have no data interval of their own."""


class _Field(NamedTuple):
    name: str
    lowest: int
    highest: int
    names: tuple[str, ...] = ()


_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_FIELDS: Final = (
    _Field("a minute", 0, 59),
    _Field("an hour", 0, 23),
    _Field("a day of month", 1, 31),
    _Field("a month", 1, 12, _MONTHS),
    _Field("a day of week", 0, 7, _WEEKDAYS),
)
# A star or a value or a range, each with an optional step; the last weekday (5L or L5) and the n-th weekday (5#2).
_ITEM = re.compile(r"(?P<base>\*|(?P<low>\w+)(-(?P<high>\w+))?)(/(?P<step>\d+))?")
_NTH_WEEKDAY = re.compile(r"(?P<day>\w+)#[1-5]|[lL](?P<last>\d)|(?P<final>\d)[lL]")


def cron_fault(text: str) -> str | None:
    """What is expected where ``text`` is no cron expression; None when it is one."""
    if text.startswith("@"):
        return None if text in PRESETS else f"one of {', '.join(PRESETS)}, or five cron fields"
    parts = text.split()
    if len(parts) != len(_FIELDS):
        return f"five fields (minute, hour, day of month, month, day of week), not {len(parts)}"
    for field, part in zip(_FIELDS, parts, strict=True):
        for item in part.split(","):
            if not _is_item(field, item):
                return f"{field.name} of {field.lowest} to {field.highest}, *, a range or a step, not {item!r}"
    return None


def _is_item(field: _Field, item: str) -> bool:
    if field.name == "a day of month" and item in ("L", "l"):
        return True
    if field.name == "a day of week" and (nth := _NTH_WEEKDAY.fullmatch(item)):
        return _value(field, nth["day"] or nth["last"] or nth["final"]) is not None
    match = _ITEM.fullmatch(item)
    if match is None or (match["step"] is not None and int(match["step"]) < 1):
        return False
    if match["base"] == "*":
        return True
    low = _value(field, match["low"])
    high = low if match["high"] is None else _value(field, match["high"])
    return low is not None and high is not None and low <= high


def _value(field: _Field, text: str) -> int | None:
    if text.lower() in field.names:
        return field.names.index(text.lower()) + (1 if field.name == "a month" else 0)
    if not (text.isascii() and text.isdecimal()):
        return None
    number = int(text)
    return number if field.lowest <= number <= field.highest else None
