"""Validates requests against the service models, and reports all problems at once, as AWS does.

botocore's client checks only types, required members and minimum lengths; maximum lengths, ranges, patterns and enums
are checked by the service, so they are checked here. The wording is that of AWS's services:
``2 validation errors detected: Value 'x' at 'processingJobName' failed to satisfy constraint: Member must …; Value …``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from stepbridge_local.services.service_model import compile_pattern

if TYPE_CHECKING:
    from botocore.model import Shape

__all__ = ["Checked", "Violation", "checked"]

_JSON_KINDS = (
    (bool, "BOOLEAN"),
    (str, "STRING"),
    (int, "NUMBER"),
    (float, "NUMBER"),
    (Mapping, "MAP"),
    (Sequence, "LIST"),
)
# By botocore's type name; what is larger has no place in the type that the service reads it into.
_LARGEST_NUMBERS = {"integer": 2**31 - 1, "long": 2**63 - 1}


@dataclass(frozen=True)
class Violation:
    """A constraint of the model that a member breaks. ``shown`` is its value, empty for a secret one."""

    shown: str
    path: str
    constraint: str

    def __str__(self) -> str:
        value = f"Value {self.shown}" if self.shown else "Value"
        return f"{value} at '{self.path}' failed to satisfy constraint: {self.constraint}"


@dataclass(frozen=True)
class Checked:
    """A request that was compared with its shape.

    ``accepted`` is a copy: nulls dropped, numbers and times converted. ``type_errors`` are values of the wrong type.
    """

    accepted: dict[str, Any]
    type_errors: Sequence[str]
    violations: Sequence[Violation]

    def report(self) -> str:
        """All violations in AWS's words."""
        count = len(self.violations)
        noun = "error" if count == 1 else "errors"
        return f"{count} validation {noun} detected: {'; '.join(map(str, self.violations))}"


def checked(shape: Shape, request: Mapping[str, Any], *, only_known: bool = False) -> Checked:
    """The request and its problems. Members that the shape does not have are ignored, or problems if ``only_known``."""
    walk = _Walk(only_known)
    accepted = walk.value(shape, request, "")
    return Checked(dict(accepted or {}), walk.type_errors, walk.violations)


class _Walk:
    """One pass over a request. ``value`` returns the accepted value and collects the problems."""

    def __init__(self, only_known: bool) -> None:
        self._only_known = only_known
        self.violations: list[Violation] = []
        self.type_errors: list[str] = []
        self._visitors: Mapping[str, Callable[[Any, Any, str], Any]] = {  # by botocore's type name
            "structure": self._structure,
            "list": self._list,
            "map": self._map,
            "string": self._string,
            "integer": self._integer,
            "long": self._integer,
            "boolean": self._boolean,
            "timestamp": self._timestamp,
            "blob": self._unchecked,
            "double": self._unchecked,
            "float": self._unchecked,
        }

    def value(self, shape: Shape, value: Any, path: str) -> Any:
        return self._visitors[shape.type_name](shape, value, path)

    def _violation(self, value: Any, path: str, constraint: str, shape: Shape | None = None) -> None:
        shown = "null" if value is None else f"'{_shown(value)}'"
        is_secret = shape is not None and shape.metadata.get("sensitive")
        self.violations.append(Violation("" if is_secret else shown, path, constraint))

    def _is(self, value: Any, python_type: type | tuple[type, ...], wanted: str, path: str) -> bool:
        if isinstance(value, python_type) and not (isinstance(value, bool) and python_type is not bool):
            return True
        self._type_error(value, wanted, path)
        return False

    def _type_error(self, value: Any, wanted: str, path: str) -> None:
        found = next((name for python_type, name in _JSON_KINDS if isinstance(value, python_type)), "VALUE")
        self.type_errors.append(f"'{path or 'request'}': {found}_VALUE can not be converted to {wanted}")

    def _structure(self, shape: Any, value: Any, path: str) -> Any:
        if not self._is(value, Mapping, "a Structure", path):
            return None
        given = {name: member for name, member in value.items() if member is not None}
        for name in shape.required_members:
            if name not in given:
                self._violation(None, _member(path, name), "Member must not be null")
        for name in sorted(given.keys() - shape.members.keys()) if self._only_known else ():
            known = ", ".join(shape.members)
            self._violation(given[name], _member(path, name), f"Member must be one of the known members: [{known}]")
        return {
            name: self.value(member, given[name], _member(path, name))
            for name, member in shape.members.items()
            if name in given
        }

    def _list(self, shape: Any, value: Any, path: str) -> Any:
        if not self._is(value, (list, tuple), "a List", path):
            return None
        self._sized(shape, len(value), value, path)
        if shape.member.type_name == "string":
            return self._strings(shape.member, value, value, path, "Member")
        return [self.value(shape.member, item, f"{path}.{place}.member") for place, item in enumerate(value, start=1)]

    def _map(self, shape: Any, value: Any, path: str) -> Any:
        if not self._is(value, Mapping, "a Map", path):
            return None
        given = {key: member for key, member in value.items() if member is not None}
        self._sized(shape, len(given), value, path)
        keys = self._strings(shape.key, list(given), value, path, "Map keys")
        if shape.value.type_name == "string":
            members = self._strings(shape.value, list(given.values()), value, path, "Map value")
        else:
            members = [self.value(shape.value, member, f"{path}.{key}.member") for key, member in given.items()]
        return dict(zip(keys, members, strict=True))

    def _strings(self, shape: Any, items: Sequence[Any], whole: Any, path: str, subject: str) -> list[Any]:
        """The strings in a list or map. AWS reports them in one problem, with the whole value and all constraints."""
        are_strings = [self._is(item, str, "a String", path) for item in items]
        if all(are_strings) and any(_broken_constraints(shape, item) for item in items):
            constraints = ", ".join(_all_constraints(shape))
            self._violation(whole, path, f"{subject} must satisfy constraint: [{constraints}]")
        return list(items)

    def _string(self, shape: Any, value: Any, path: str) -> Any:
        if not self._is(value, str, "a String", path):
            return None
        for constraint in _broken_constraints(shape, value):
            self._violation(value, path, constraint, shape)
        return value

    def _integer(self, shape: Any, value: Any, path: str) -> Any:
        if not self._is(value, (int, float), "an Integer", path):
            return None
        if not math.isfinite(value) or abs(value) > _LARGEST_NUMBERS[shape.type_name]:
            return self._type_error(value, "an Integer", path)
        number = int(value)  # AWS truncates 30.0 and 30.7 alike; JSONata gives whole numbers as floats
        if number < shape.metadata.get("min", number):
            self._violation(number, path, f"Member must have value greater than or equal to {shape.metadata['min']}")
        if number > shape.metadata.get("max", number):
            self._violation(number, path, f"Member must have value less than or equal to {shape.metadata['max']}")
        return number

    def _boolean(self, shape: Any, value: Any, path: str) -> Any:
        return value if self._is(value, bool, f"a {shape.type_name.title()}", path) else None

    def _timestamp(self, shape: Any, value: Any, path: str) -> Any:
        if isinstance(value, datetime):
            return value if value.tzinfo else value.replace(tzinfo=UTC)
        if isinstance(value, str):
            parsed = _iso_time(value)
            if parsed is not None:
                return parsed
        wanted = f"a {shape.type_name.title()}"
        if self._is(value, (int, float), wanted, path):
            try:
                return datetime.fromtimestamp(value, UTC)
            except (OverflowError, ValueError):  # beyond the year 9999
                self._type_error(value, wanted, path)
        return None

    def _unchecked(self, _shape: Any, value: Any, _path: str) -> Any:
        return value

    def _sized(self, shape: Any, length: int, value: Any, path: str) -> None:
        for constraint in _broken_lengths(shape, length):
            self._violation(value, path, constraint)


def _broken_constraints(shape: Any, value: str) -> list[str]:
    """The constraints of a string shape that ``value`` breaks."""
    broken = _broken_lengths(shape, len(value))
    allowed = shape.metadata.get("enum")
    if allowed and value not in allowed:
        broken.append(_enum_constraint(allowed))
    pattern = shape.metadata.get("pattern")
    if pattern and not compile_pattern(pattern).fullmatch(value):
        broken.append(_pattern_constraint(pattern))
    return broken


def _broken_lengths(shape: Any, length: int) -> list[str]:
    least, most = shape.metadata.get("min", length), shape.metadata.get("max", length)
    return ([_least_length(least)] if length < least else []) + ([_most_length(most)] if length > most else [])


def _all_constraints(shape: Any) -> list[str]:
    wordings: Mapping[str, Callable[[Any], str]] = {
        "max": _most_length,
        "min": _least_length,
        "enum": _enum_constraint,
        "pattern": _pattern_constraint,
    }
    return [wording(shape.metadata[key]) for key, wording in wordings.items() if key in shape.metadata]


def _least_length(length: int) -> str:
    return f"Member must have length greater than or equal to {length}"


def _most_length(length: int) -> str:
    return f"Member must have length less than or equal to {length}"


def _enum_constraint(allowed: Sequence[str]) -> str:
    return f"Member must satisfy enum value set: [{', '.join(allowed)}]"


def _pattern_constraint(pattern: str) -> str:
    return f"Member must satisfy regular expression pattern: {pattern}"


def _iso_time(text: str) -> datetime | None:
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        return None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def _member(path: str, name: str) -> str:
    """AWS names members in its messages with a small first letter: ``processingResources.clusterConfig``."""
    lowered = name[:1].lower() + name[1:]
    return f"{path}.{lowered}" if path else lowered


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}={_shown(member)}" for key, member in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_shown(item) for item in value) + "]"
    return str(value)
