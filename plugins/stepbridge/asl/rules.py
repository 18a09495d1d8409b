"""The rules inside a state: retriers, catchers and choice rules.

Source: https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from stepbridge.core.problems import did_you_mean
from stepbridge.errors import Problem

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


def choice_problems(rules: Any, path: str, language: str) -> Iterator[Problem]:
    """What is wrong with the Choices of a Choice state."""
    if not isinstance(rules, list) or not rules:
        return iter([Problem(path, "no rules", "a list of at least one rule")])
    return problems_of_rules(rules, path, lambda rule, where, _last: _choice_rule(rule, where, language))


def problems_of_rules(
    rules: Any, path: str, check: Callable[[Mapping[str, Any], str, bool], Iterator[Problem]]
) -> Iterator[Problem]:
    """The problems of a list of rules; ``check`` gets a rule, its path and whether it is the last."""
    if not isinstance(rules, list):
        yield Problem(path, f"a {type(rules).__name__}", "a list")
        return
    for index, rule in enumerate(rules):
        where = f"{path}[{index}]"
        if isinstance(rule, Mapping):
            yield from check(rule, where, index == len(rules) - 1)
        else:
            yield Problem(where, f"a {type(rule).__name__}", "an object")


def retrier_problems(retrier: Mapping[str, Any], path: str, last: bool) -> Iterator[Problem]:
    """What is wrong with a rule of a Retry list."""
    yield from unknown_keys(retrier, path, RETRY_KEYS)
    yield from _error_names(retrier, path, last)
    for key, (low, high) in _RANGES.items():
        value = retrier.get(key, low)
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            yield Problem(f"{path}.{key}", repr(value), f"a number from {low} to {high}")
    interval = retrier.get("IntervalSeconds", _DEFAULT_INTERVAL_SECONDS)
    ceiling = retrier.get("MaxDelaySeconds")
    if isinstance(ceiling, int) and isinstance(interval, int) and ceiling <= interval:
        yield Problem(f"{path}.MaxDelaySeconds", repr(ceiling), f"more than IntervalSeconds, {interval}")
    if retrier.get("JitterStrategy", "NONE") not in ("FULL", "NONE"):
        yield Problem(f"{path}.JitterStrategy", repr(retrier["JitterStrategy"]), "FULL or NONE")


def catcher_problems(catcher: Mapping[str, Any], path: str, last: bool) -> Iterator[Problem]:
    """What is wrong with a rule of a Catch list; where it leads is checked with the other transitions."""
    yield from unknown_keys(catcher, path, CATCH_KEYS)
    yield from _error_names(catcher, path, last)
    if not isinstance(catcher.get("Next"), str):
        yield Problem(path, "a catcher without Next", "the state to go to")


def _choice_rule(rule: Mapping[str, Any], path: str, language: str) -> Iterator[Problem]:
    if not isinstance(rule.get("Next"), str):
        yield Problem(path, "a rule without Next", "the state to go to")
    if language == "JSONata":
        yield from unknown_keys(rule, path, JSONATA_RULE_KEYS)
        condition = rule.get("Condition")
        if not isinstance(condition, bool) and not str(condition).startswith("{%"):
            yield Problem(f"{path}.Condition", repr(condition), "an expression, {% … %}")


def _error_names(rule: Mapping[str, Any], path: str, last: bool) -> Iterator[Problem]:
    names = rule.get("ErrorEquals")
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        yield Problem(f"{path}.ErrorEquals", repr(names), "a list of at least one error's name")
    elif "States.ALL" in names and (len(names) > 1 or not last):
        yield Problem(f"{path}.ErrorEquals", "States.ALL beside or before others", "it alone, and in the last rule")


def unknown_keys(value: Mapping[str, Any], path: str, known: frozenset[str]) -> Iterator[Problem]:
    """A problem for each key of an object that is not ``known``."""
    return (Problem(f"{path}.{key}", "unknown key", *one_of(key, known)) for key in value if key not in known)


def one_of(given: object, known: Iterable[str]) -> tuple[str, str]:
    """What is expected instead of ``given``, and the remedy."""
    return f"one of {', '.join(sorted(known))}", did_you_mean(given, known)
