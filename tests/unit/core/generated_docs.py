"""The parts of the docs that are made from the code. ``python -m tests.unit.core.generated_docs`` writes them anew.

A part stands between ``<!-- generated: NAME -->`` and ``<!-- end -->``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

from pydantic_core import PydanticUndefined

from stepbridge.core.failures import ANY_SOURCE, EXECUTION_FAILURES, BackOff, ExecutionFailure, Retrier
from stepbridge.core.model_card import ModelCard

DOCS: Final = Path(__file__).parents[3] / "docs"
PAGES: Final = ("model-card.md", "failures.md")

# Defaults that follow from another key, or that are long to write.
_SPECIAL_DEFAULTS: Final = {
    "name": "the file's name",
    "container": "`containers/<name>`",
    "scripts": "`scripts/<name>`",
    "stages": "all three",
}


def card_keys() -> str:
    """The table of a model card's keys."""
    schema = ModelCard.model_json_schema()["properties"]
    rows = []
    for key, field in ModelCard.model_fields.items():
        limits = _limits(schema[key])
        text, semicolon, more = str(field.description).partition(";")
        rows.append((f"`{key}`", _default(key, field), f"{text}{limits and ', '}{limits}{semicolon}{more}"))
    return _table(("key", "default", "what it is, and its limits"), rows)


def failures() -> str:
    """The table of an execution's failures."""
    errors: dict[tuple[str, ...], list[str]] = {}
    for row in EXECUTION_FAILURES:
        error = f"`{row.error}`" if row.error != "*" else f"any, with the status {row.status}"
        same = (row.kind, _machine(row), row.retry.value, _plain(row.remedy))
        errors.setdefault(same, []).append(error)
    rows = [(same[0], ", ".join(dict.fromkeys(names)), *same[1:]) for same, names in errors.items()]
    return _table(("failure", "error", "retried by the state machine", "retried by Airflow", "what to do"), rows)


def _default(key: str, field: Any) -> str:
    if key in _SPECIAL_DEFAULTS:
        return _SPECIAL_DEFAULTS[key]
    match field.default:
        case None | "" | () | {}:
            return "none"
        case bool():
            return f"`{str(field.default).lower()}`"
        case str():
            return f"`{field.default}`"
        case default if default is PydanticUndefined:
            return "required"
        case default:
            return str(default)


def _limits(schema: dict[str, Any]) -> str:
    """The bounds of a key, in words."""
    schema = {**schema, **next((one for one in schema.get("anyOf", ()) if one.get("type") != "null"), {})}
    for low, high, unit in (
        ("minimum", "maximum", ""),
        ("minLength", "maxLength", " characters"),
        ("", "maxItems", ""),
    ):
        if low in schema and high in schema:
            return f"{schema[low]} to {schema[high]}{unit}"
        if high in schema:
            return f"at most {schema[high]}{unit}"
    return ""


def _machine(row: ExecutionFailure) -> str:
    match row.machine:
        case Retrier(interval_seconds=first, max_delay_seconds=longest, max_attempts=times):
            return f"{times} times, after {first} s, {2 * first} s … {longest} s at most"
        case BackOff(first_seconds=first, longest_seconds=longest, attempts=times):
            return f"{times} times, after {first} s, {2 * first} s … {longest} s at most"
        case _:
            return "no"


def _plain(remedy: str) -> str:
    """The remedy with the names of its gaps, in a table's cell."""
    text = remedy.replace("{alternatives}", " of the same size").replace("{source}", ANY_SOURCE)
    return re.sub(r"\{(\w+)\}", lambda match: f"*{match[1].replace('_', ' ')}*", text)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


PARTS: Final[dict[str, Callable[[], str]]] = {"card keys": card_keys, "failures": failures}
_PART: Final = re.compile(r"(?P<head><!-- generated: (?P<name>[\w ]+) -->\n).*?(?=<!-- end -->)", re.DOTALL)


def renewed(page: str) -> str:
    """The page with its generated parts as the code has them now."""
    return _PART.sub(lambda match: f"{match['head']}{PARTS[match['name']]()}\n", page)


def main() -> None:
    for name in PAGES:
        path = DOCS / name
        path.write_text(renewed(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
