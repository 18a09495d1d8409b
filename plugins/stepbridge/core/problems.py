"""pydantic's errors about a document, as problems that say where, what was found and what was expected."""

import difflib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from pydantic import ValidationError

from stepbridge.errors import Problem

Path = tuple[str | int, ...]

SHOWN_LENGTH = 80


def short_repr(value: object) -> str:
    """The value as Python writes it, cut to what fits into a line."""
    text = repr(list(value) if isinstance(value, tuple) else value)
    return text if len(text) <= SHOWN_LENGTH else text[: SHOWN_LENGTH - 1] + "…"


def did_you_mean(given: object, known: Iterable[str]) -> str:
    """The question whether one of ``known`` was meant that looks like ``given``; empty when none does."""
    close = difflib.get_close_matches(str(given), list(known), n=3, cutoff=0.6)
    return f"did you mean {' or '.join(close)}?" if close else ""


def problems_of(
    error: ValidationError,
    source: str,
    known_keys: Sequence[str],
    remedy: str = "",
    locate: Callable[[Path], tuple[str, str]] | None = None,
) -> list[Problem]:
    """One problem per error. Validators raise ValueError with the text of what they expect.

    ``locate`` turns a path into its place and an excerpt of it; without it every problem is at ``source``.
    """
    place = locate or (lambda _path: (source, ""))
    return [_problem(detail, known_keys, remedy, place) for detail in error.errors(include_url=False)]


def _problem(detail: Any, known_keys: Sequence[str], remedy: str, place: Callable[[Path], tuple[str, str]]) -> Problem:
    path: Path = tuple(detail["loc"])
    name = _dotted(path)
    where, excerpt = place(path)
    match detail["type"]:
        case "extra_forbidden":
            hint = did_you_mean(path[-1], known_keys) or remedy
            return Problem(where, f"unknown key {name!r}", f"one of {', '.join(sorted(known_keys))}", hint, excerpt)
        case "missing":
            return Problem(where, f"the required key {name!r} is missing", "", remedy, excerpt)
        case "json_invalid":
            return Problem(where, detail["msg"], "a JSON document", remedy, excerpt)
        case _:
            expected = detail["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
            if not path:  # a rule about several keys together: its text says all
                return Problem(where, expected, "", remedy, excerpt)
            return Problem(where, f"{name} is {short_repr(detail['input'])}", expected, remedy, excerpt)


def _dotted(path: Path) -> str:
    text = ""
    for step in path:
        if step == "[key]":  # pydantic's marker for a mapping's key itself
            continue
        text += f"[{step}]" if isinstance(step, int) else f"{'.' if text else ''}{step}"
    return text
