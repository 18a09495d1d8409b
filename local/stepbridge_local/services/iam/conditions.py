"""The Condition element: every operator, with IfExists, ForAllValues and ForAnyValue.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from types import MappingProxyType
from typing import Any, Final

from stepbridge_local.services.iam.errors import PolicyError
from stepbridge_local.services.iam.patterns import Context, arn_matches, matches, substituted

__all__ = ["Condition", "holds", "parse_condition"]

# Operator, key and values; all must hold.
Condition = Sequence[tuple[str, str, Sequence[str]]]
Compare = Callable[[str, str, Context], bool]  # the policy's value, the request's value, the request


def _equal(wanted: str, given: str, context: Context) -> bool:
    return substituted(wanted, context) == given


def _equal_without_case(wanted: str, given: str, context: Context) -> bool:
    value = substituted(wanted, context)
    return value is not None and value.casefold() == given.casefold()


def _number(compare: Callable[[float, float], bool], wanted: str, given: str, _context: Context) -> bool:
    try:
        return compare(float(given), float(wanted))
    except ValueError:
        return False


def _date(compare: Callable[[datetime, datetime], bool], wanted: str, given: str, _context: Context) -> bool:
    try:
        return compare(_moment(given), _moment(wanted))
    except ValueError:
        return False


def _moment(text: str) -> datetime:
    if text.isdecimal():
        return datetime.fromtimestamp(int(text), UTC)
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _address(wanted: str, given: str, _context: Context) -> bool:
    try:
        return ipaddress.ip_address(given) in ipaddress.ip_network(wanted, strict=False)
    except ValueError:
        return False


def _boolean(wanted: str, given: str, _context: Context) -> bool:
    return wanted.lower() == given.lower()


def _is(one: Any, other: Any) -> bool:
    return bool(one == other)


_POSITIVE: Final[Mapping[str, Compare]] = MappingProxyType(
    {
        "stringequals": _equal,
        "stringequalsignorecase": _equal_without_case,
        "stringlike": matches,
        "arnequals": arn_matches,
        "arnlike": arn_matches,
        "numericequals": partial(_number, _is),
        "numericlessthan": partial(_number, lambda given, wanted: given < wanted),
        "numericlessthanequals": partial(_number, lambda given, wanted: given <= wanted),
        "numericgreaterthan": partial(_number, lambda given, wanted: given > wanted),
        "numericgreaterthanequals": partial(_number, lambda given, wanted: given >= wanted),
        "dateequals": partial(_date, _is),
        "datelessthan": partial(_date, lambda given, wanted: given < wanted),
        "datelessthanequals": partial(_date, lambda given, wanted: given <= wanted),
        "dategreaterthan": partial(_date, lambda given, wanted: given > wanted),
        "dategreaterthanequals": partial(_date, lambda given, wanted: given >= wanted),
        "bool": _boolean,
        "binaryequals": _equal,
        "ipaddress": _address,
    }
)
# Negated operators, with the operator that must hold for no value. A missing key satisfies them.
_NEGATED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "stringnotequals": "stringequals",
        "stringnotequalsignorecase": "stringequalsignorecase",
        "stringnotlike": "stringlike",
        "arnnotequals": "arnequals",
        "arnnotlike": "arnlike",
        "numericnotequals": "numericequals",
        "datenotequals": "dateequals",
        "notipaddress": "ipaddress",
    }
)
_ALL, _ANY, _IF_EXISTS = "forallvalues:", "foranyvalue:", "ifexists"


def parse_condition(element: Mapping[str, Mapping[str, Any]], where: str) -> Condition:
    """The condition. Raises PolicyError for an operator that IAM does not have."""
    condition = []
    for operator, keys in element.items():
        name = operator.lower().removeprefix(_ALL).removeprefix(_ANY).removesuffix(_IF_EXISTS)
        if name not in _POSITIVE and name not in _NEGATED and name != "null":
            raise PolicyError(f"{where}.Condition", f"no such operator: {operator!r}", "an operator of IAM")
        for key, values in keys.items():
            listed = values if isinstance(values, list) else [values]
            condition.append((operator.lower(), key.lower(), tuple(_text(value) for value in listed)))
    return tuple(condition)


def holds(condition: Condition, context: Context) -> bool:
    """Whether the whole condition holds for the request."""
    return all(_holds(operator, wanted, context.get(key), context) for operator, key, wanted in condition)


def _holds(operator: str, wanted: Sequence[str], given: Sequence[str] | None, context: Context) -> bool:
    if operator == "null":
        return (given is None) == (wanted[0].lower() == "true")
    for_all, for_any = operator.startswith(_ALL), operator.startswith(_ANY)
    name = operator.removeprefix(_ALL).removeprefix(_ANY)
    if_exists, name = name.endswith(_IF_EXISTS), name.removesuffix(_IF_EXISTS)
    negated = name in _NEGATED
    if given is None:
        return if_exists or for_all or (negated and not for_any)
    compare = _POSITIVE[_NEGATED.get(name, name)]
    found = [any(compare(value, one, context) for value in wanted) != negated for one in given]
    # Without ForAllValues and ForAnyValue a key has one value. AWS does not say what a list means there; one is enough,
    # and for a negated operator all have to differ.
    return all(found) if for_all or (negated and not for_any) else any(found)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
