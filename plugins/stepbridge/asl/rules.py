"""The rules inside a state: retriers, catchers and choice rules.

Source: https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from stepbridge.errors import Problem

__all__ = ["catch_problems", "choice_problems", "retry_problems"]

RETRY_KEYS: Final = frozenset(
    {"Comment", "ErrorEquals", "IntervalSeconds", "MaxAttempts", "BackoffRate", "MaxDelaySeconds", "JitterStrategy"}
)
CATCH_KEYS: Final = frozenset({"Comment", "ErrorEquals", "Next", "ResultPath", "Output", "Assign"})
JSONATA_RULE_KEYS: Final = frozenset({"Comment", "Condition", "Next", "Output", "Assign"})

_RANGES: Final = {
    "IntervalSeconds": (1, 99_999_999),
    "MaxAttempts": (0, 99_999_999),
    "BackoffRate": (1.0, float("inf")),
    "MaxDelaySeconds": (1, 31_622_400),
}
_DEFAULT_INTERVAL_SECONDS: Final = 1


def retry_problems(retriers: Any, path: str) -> Iterator[Problem]:
    """What is wrong with a Retry list."""
    for place, retrier, last in _rules(retriers):
        where = f"{path}[{place}]"
        yield from _object_with(retrier, where, RETRY_KEYS)
        if not isinstance(retrier, Mapping):
            continue
        yield from _error_names(retrier, where, last)
        for key, (low, high) in _RANGES.items():
            value = retrier.get(key, low)
            if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
                yield Problem(f"{where}.{key}", repr(value), f"a number from {low} to {high}")
        interval = retrier.get("IntervalSeconds", _DEFAULT_INTERVAL_SECONDS)
        ceiling = retrier.get("MaxDelaySeconds")
        if isinstance(ceiling, int) and isinstance(interval, int) and ceiling <= interval:
            yield Problem(f"{where}.MaxDelaySeconds", repr(ceiling), f"more than IntervalSeconds, {interval}")
        if retrier.get("JitterStrategy", "NONE") not in ("FULL", "NONE"):
            yield Problem(f"{where}.JitterStrategy", repr(retrier["JitterStrategy"]), "FULL or NONE")
    yield from _is_list(retriers, path)


def catch_problems(catchers: Any, path: str) -> Iterator[Problem]:
    """What is wrong with a Catch list; where it leads is checked with the other transitions."""
    for place, catcher, last in _rules(catchers):
        where = f"{path}[{place}]"
        yield from _object_with(catcher, where, CATCH_KEYS)
        if isinstance(catcher, Mapping):
            yield from _error_names(catcher, where, last)
            if not isinstance(catcher.get("Next"), str):
                yield Problem(where, "a catcher without Next", "the state to go to")
    yield from _is_list(catchers, path)


def choice_problems(rules: Any, path: str, language: str) -> Iterator[Problem]:
    """What is wrong with the Choices of a Choice state."""
    if not isinstance(rules, list) or not rules:
        yield Problem(path, "no rules", "a list of at least one rule")
        return
    for place, rule, _ in _rules(rules):
        where = f"{path}[{place}]"
        if not isinstance(rule, Mapping):
            yield Problem(where, f"a {type(rule).__name__}", "an object")
            continue
        if not isinstance(rule.get("Next"), str):
            yield Problem(where, "a rule without Next", "the state to go to")
        if language == "JSONata":
            yield from _object_with(rule, where, JSONATA_RULE_KEYS)
            condition = rule.get("Condition")
            if not isinstance(condition, bool) and not str(condition).startswith("{%"):
                yield Problem(f"{where}.Condition", repr(condition), "an expression, {% … %}")


def _rules(value: Any) -> Iterator[tuple[int, Any, bool]]:
    items = value if isinstance(value, list) else []
    for index, item in enumerate(items):
        yield index, item, index == len(items) - 1


def _is_list(value: Any, path: str) -> Iterator[Problem]:
    if not isinstance(value, list):
        yield Problem(path, f"a {type(value).__name__}", "a list")


def _object_with(value: Any, path: str, known: frozenset[str]) -> Iterator[Problem]:
    if not isinstance(value, Mapping):
        yield Problem(path, f"a {type(value).__name__}", "an object")
        return
    for key in value:
        if key not in known:
            yield Problem(f"{path}.{key}", "unknown key", f"one of {', '.join(sorted(known))}")


def _error_names(rule: Mapping[str, Any], path: str, last: bool) -> Iterator[Problem]:
    names = rule.get("ErrorEquals")
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        yield Problem(f"{path}.ErrorEquals", repr(names), "a list of at least one error's name")
    elif "States.ALL" in names and (len(names) > 1 or not last):
        yield Problem(f"{path}.ErrorEquals", "States.ALL beside or before others", "it alone, and in the last rule")
