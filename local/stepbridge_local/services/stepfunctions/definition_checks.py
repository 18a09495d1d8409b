"""Checks the fields of a definition when it is created, as Step Functions does. Pure.

All problems are found, each with AWS's code and its place. AWS's texts are its own where they are known from
https://docs.aws.amazon.com/step-functions/latest/apireference/API_ValidateStateMachineDefinition.html and from clients.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from stepbridge_local.services.stepfunctions.state_fields import (
    COMPARISONS,
    FIELDS,
    JSONATA_ONLY,
    JSONPATH_ONLY,
    KINDS,
    LIMITS,
    ONE_OF,
    REQUIRED,
)

__all__ = ["Problem", "field_problems", "parsed"]

FAILED: Final = "SCHEMA_VALIDATION_FAILED"
_STATE_TYPES: Final = ("Task", "Choice", "Fail", "Succeed", "Pass", "Wait", "Parallel", "Map")
_PARTS: Final = ("ItemReader", "ReaderConfig", "ItemBatcher", "ResultWriter", "WriterConfig", "ProcessorConfig")
_ENUMS: Final[Mapping[str, tuple[str, ...]]] = {
    "QueryLanguage": ("JSONPath", "JSONata"),
    "Mode": ("INLINE", "DISTRIBUTED"),
    "ExecutionType": ("STANDARD", "EXPRESS"),
    "JitterStrategy": ("FULL", "NONE"),
    "CSVHeaderLocation": ("FIRST_ROW", "GIVEN"),
    "OutputType": ("JSON", "JSONL"),
    "Version": ("1.0",),
}
_IN_DISTRIBUTED: Final = ("ItemReader", "ItemBatcher", "ResultWriter", "Label")


@dataclass(frozen=True)
class Problem:
    """Why AWS would refuse the definition. ``place`` is a path of names; empty for the whole machine."""

    message: str
    place: str = ""
    code: str = FAILED

    def __str__(self) -> str:
        return f"{self.code}: {self.message}" + (f" at {self.place}" if self.place else "")


def parsed(definition: str) -> Any:
    """The definition's JSON. Raises ValueError in AWS's words."""
    try:
        return json.loads(definition)
    except ValueError as error:
        raise ValueError(f"INVALID_JSON_DESCRIPTION: {error}") from error


def field_problems(definition: Any) -> Iterator[Problem]:
    """The problems with fields: unknown, missing, of another type, and of the other query language."""
    if not isinstance(definition, Mapping):
        yield Problem("Expected value of type Object")
        return
    yield from _machine(definition, "state machine", "", definition.get("QueryLanguage", "JSONPath"))


def _machine(machine: Mapping[str, Any], kind: str, place: str, language: str) -> Iterator[Problem]:
    yield from _object(machine, kind, place or "/", language)
    states = machine.get("States")
    if not isinstance(states, Mapping):
        return
    if not states:
        yield Problem("At least one state is required", f"{place}/States")
    for name, state in states.items():
        here = f"{place}/States/{name}"
        if len(name) > 80:
            yield Problem("State name cannot be longer than 80 characters", here)
        if not isinstance(state, Mapping):
            yield Problem("Expected value of type Object", here)
            continue
        yield from _state(state, here, language)


def _state(state: Mapping[str, Any], place: str, machine_language: str) -> Iterator[Problem]:
    kind = state.get("Type")
    if kind not in FIELDS or kind not in _STATE_TYPES:
        known = ", ".join(_STATE_TYPES)
        yield Problem(f"Value is not valid: {json.dumps(kind)}. 'Type' must be one of [{known}]", f"{place}/Type")
        return
    language = state.get("QueryLanguage", machine_language)
    if machine_language == "JSONata" and language == "JSONPath":
        yield Problem("'QueryLanguage' can not be 'JSONPath' if set to 'JSONata' for whole state machine", place)
    yield from _object(state, kind, place, language)
    for member in ("Retry", "Catch"):
        rules = state.get(member)
        if isinstance(rules, list):
            yield from _rules(rules, member, f"{place}/{member}", language)
    if kind == "Choice" and isinstance(state.get("Choices"), list):
        yield from _choices(state["Choices"], f"{place}/Choices", language)
    if kind == "Map":
        yield from _map(state, place, machine_language, language)
    branches = state.get("Branches")
    if kind == "Parallel" and isinstance(branches, list):
        if not branches:
            yield Problem("Array must have at least 1 element", f"{place}/Branches")
        for position, branch in enumerate(branches):
            if isinstance(branch, Mapping):
                yield from _machine(branch, "Branches", f"{place}/Branches[{position}]", machine_language)
            else:
                yield Problem("Expected value of type Object", f"{place}/Branches[{position}]")


def _map(state: Mapping[str, Any], place: str, machine_language: str, language: str) -> Iterator[Problem]:
    mode = "INLINE"
    for member in ("ItemProcessor", "Iterator"):
        processor = state.get(member)
        if isinstance(processor, Mapping):
            yield from _machine(processor, member, f"{place}/{member}", machine_language)
            config = processor.get("ProcessorConfig")
            if isinstance(config, Mapping):
                mode = config.get("Mode", mode)
                yield from _object(config, "ProcessorConfig", f"{place}/{member}/ProcessorConfig", language)
    for member in _IN_DISTRIBUTED:
        if member not in state:
            continue
        if mode != "DISTRIBUTED":
            yield Problem(f"Field '{member}' is only supported for 'ProcessorConfig.Mode' 'DISTRIBUTED'", place)
        if isinstance(state[member], Mapping):
            yield from _part(state[member], member, f"{place}/{member}", language)
    if state.get("ResultWriter") == {}:
        yield Problem("'ResultWriter' needs 'WriterConfig', or 'Resource' with a bucket", f"{place}/ResultWriter")


def _part(part: Mapping[str, Any], kind: str, place: str, language: str) -> Iterator[Problem]:
    """An object in a Map, and the ones in it."""
    yield from _object(part, kind, place, language)
    for member in _PARTS:
        if isinstance(part.get(member), Mapping):
            yield from _part(part[member], member, f"{place}/{member}", language)


def _rules(rules: list[Any], kind: str, place: str, language: str) -> Iterator[Problem]:
    for position, rule in enumerate(rules):
        here = f"{place}[{position}]"
        if not isinstance(rule, Mapping):
            yield Problem("Expected value of type Object", here)
            continue
        yield from _object(rule, kind, here, language)
        errors = rule.get("ErrorEquals")
        if errors == []:
            yield Problem("Array must have at least 1 element", f"{here}/ErrorEquals")
        if isinstance(errors, list) and "States.ALL" in errors:
            if len(errors) > 1:
                yield Problem("'States.ALL' must be the only element in 'ErrorEquals'", f"{here}/ErrorEquals")
            if position < len(rules) - 1:
                yield Problem(f"'States.ALL' must be in the last element of '{kind}'", f"{here}/ErrorEquals")


def _choices(rules: list[Any], place: str, language: str) -> Iterator[Problem]:
    if not rules:
        yield Problem("Array must have at least 1 element", place)
    for position, rule in enumerate(rules):
        here = f"{place}[{position}]"
        if not isinstance(rule, Mapping):
            yield Problem("Expected value of type Object", here)
            continue
        for field in rule:
            if field not in COMPARISONS:
                yield Problem(_unknown(field, COMPARISONS), here)
            elif language == "JSONata" and field not in ("Condition", "Next", "Comment", "Assign", "Output"):
                yield _other_language(field, language, here)
        if "Next" not in rule:
            yield Problem("These fields are required: [Next]", here)


def _object(value: Mapping[str, Any], kind: str, place: str, language: str) -> Iterator[Problem]:
    where = "" if place == "/" else place
    for field, item in value.items():
        if field not in FIELDS[kind]:
            yield Problem(_unknown(field, FIELDS[kind]), place)
        elif field in _other_fields(kind, language):
            yield _other_language(field, language, place)
        else:
            yield from _value(field, item, f"{where}/{field}", language)
    missing = [field for field in REQUIRED.get(kind, ()) if field not in value]
    if missing:
        yield Problem(f"These fields are required: [{', '.join(missing)}]", place)
    for is_required, fields in ONE_OF.get(kind, ()):
        found = [field for field in fields if field in value]
        if len(found) > 1:
            yield Problem(f"There should only be one of the following fields: [{', '.join(found)}]", place)
        if is_required and not found:
            yield Problem(f"One of the following fields is required: [{', '.join(fields)}]", place)


def _other_fields(kind: str, language: str) -> frozenset[str]:
    if kind == "Catch":
        return frozenset({"Output"}) if language == "JSONPath" else frozenset({"ResultPath"})
    return JSONATA_ONLY if language == "JSONPath" else JSONPATH_ONLY


def _other_language(field: str, language: str, place: str) -> Problem:
    other = "JSONata" if language == "JSONPath" else "JSONPath"
    text = f"The QueryLanguage is set to '{language}', but field '{field}' is only supported for the '{other}'"
    return Problem(f"{text} QueryLanguage", place)


def _unknown(field: str, known: frozenset[str]) -> str:
    near = difflib.get_close_matches(field, sorted(known), n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"supported: {', '.join(sorted(known))}"
    return f"Field '{field}' is not supported ({hint})"


def _value(field: str, value: Any, place: str, language: str) -> Iterator[Problem]:
    if language == "JSONata" and isinstance(value, str) and value.startswith("{%") and value.endswith("%}"):
        return
    kind = KINDS.get(field)
    if kind is not None and not _is(kind, value):
        yield Problem(f"Expected value of type {kind}", place)
        return
    allowed = _ENUMS.get(field)
    if allowed is not None and value not in allowed:
        yield Problem(f"Value is not valid: {json.dumps(value)}. Expected one of [{', '.join(allowed)}]", place)
    if field in LIMITS:
        least, most = LIMITS[field]
        if value < least:
            yield Problem(f"Minimum value is {least}", place)
        if value > most:
            yield Problem(f"Maximum value is {most}", place)
    if field.endswith("Path") and value is not None and not _is_path(value):
        yield Problem("Value is not a valid JSONPath: it must begin with '$'", place)


def _is(kind: str, value: Any) -> bool:
    types: Mapping[str, Any] = {
        "String": str,
        "Boolean": bool,
        "Object": Mapping,
        "Array": list,
        "Integer": int,
        "Number": (int, float),
    }
    return isinstance(value, types[kind]) and (kind == "Boolean" or not isinstance(value, bool))


def _is_path(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(("$", "States."))
