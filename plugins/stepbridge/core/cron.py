"""Whether a text is a schedule: five cron fields or a preset, as croniter reads them, which Airflow uses too.

https://airflow.apache.org/docs/apache-airflow/stable/authoring-and-scheduling/cron.html
"""

from datetime import datetime
from typing import Final

from croniter import CroniterBadDateError, CroniterError, croniter  # type: ignore[import-untyped]

PRESETS: Final = ("@hourly", "@daily", "@weekly", "@monthly", "@quarterly", "@yearly")
"""The presets that stand for a cron expression; @once and @continuous have no data interval of their own."""

LONGEST: Final = 100  # Airflow keeps a description of it that is ten times as long

_FIELDS: Final = ("a minute", "an hour", "a day of month", "a month", "a day of week")
_RANGES: Final = ("0 to 59", "0 to 23", "1 to 31", "1 to 12", "0 to 7")
_ANY_TIME: Final = datetime(2000, 1, 1)  # only whether there is a next date counts


def schedule_problem(text: str) -> str | None:
    """What is expected instead of ``text``; None if it is a schedule with a next date."""
    if text.startswith("@"):
        return None if text in PRESETS else f"one of {', '.join(PRESETS)}, or five cron fields"
    if len(text) > LONGEST:
        return f"at most {LONGEST} characters"
    parts = text.split()
    if len(parts) != len(_FIELDS):
        return f"five fields (minute, hour, day of month, month, day of week), not {len(parts)}"
    if any(_is_random(item) for part in parts for item in part.split(",")):
        return _expected_item(parts)
    try:
        croniter(text, _ANY_TIME).get_next()
    except CroniterBadDateError:
        return "a schedule with a next date; this one never comes"
    except CroniterError as error:
        return _expected_item(parts) or f"a cron expression; croniter says {error}"
    return None


def _expected_item(parts: list[str]) -> str | None:
    """What is expected of the first field with an item that cannot stand there; None if each can by itself."""
    for position, part in enumerate(parts):
        for item in part.split(","):
            alone = ["*"] * len(parts)
            alone[position] = item
            if _is_random(item) or not croniter.is_valid(" ".join(alone)):
                return f"{_FIELDS[position]} of {_RANGES[position]}, *, a range or a step, not {item!r}"
    return None


def _is_random(item: str) -> bool:
    """Whether it is croniter's R or H, which stand for another time at every look."""
    return item[:1] in ("r", "R", "h", "H")
