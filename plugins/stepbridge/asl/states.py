"""The keys that each type of state takes, as data, and the walk over a state's successors.

Source: https://states-language.net/spec.html and
https://docs.aws.amazon.com/step-functions/latest/dg/statemachine-structure.html. These tables
have only what those pages name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

__all__ = ["END_TYPES", "STATE_KEYS", "TOP_KEYS", "Edge", "branches", "edges", "keys_of"]

TOP_KEYS: Final = frozenset({"Comment", "QueryLanguage", "StartAt", "States", "TimeoutSeconds", "Version"})
BRANCH_KEYS: Final = frozenset({"Comment", "QueryLanguage", "StartAt", "States", "ProcessorConfig"})

END_TYPES: Final = ("Succeed", "Fail")
"""Types of states that end the execution by themselves."""

_COMMON: Final = frozenset({"Type", "Comment", "QueryLanguage"})
_GOES_ON: Final = frozenset({"Next", "End"})
_WORK: Final = frozenset({"Retry", "Catch"})
_TASK: Final = frozenset({"Resource", "TimeoutSeconds", "HeartbeatSeconds", "Credentials"})
_MAP: Final = frozenset(
    {
        "ItemProcessor", "Iterator", "Items", "ItemReader", "ItemBatcher", "ItemSelector", "ResultWriter", "Label",
        "MaxConcurrency", "ToleratedFailureCount", "ToleratedFailurePercentage",
    }
)  # fmt: skip

STATE_KEYS: Final[Mapping[str, frozenset[str]]] = {
    "Task": _COMMON | _GOES_ON | _WORK | _TASK | {"Assign"},
    "Parallel": _COMMON | _GOES_ON | _WORK | {"Branches", "Assign"},
    "Map": _COMMON | _GOES_ON | _WORK | _MAP | {"Assign"},
    "Pass": _COMMON | _GOES_ON | {"Assign"},
    "Wait": _COMMON | _GOES_ON | {"Seconds", "Timestamp", "Assign"},
    "Choice": _COMMON | {"Choices", "Default", "Assign"},
    "Succeed": _COMMON,
    "Fail": _COMMON | {"Error", "Cause"},
}
"""What both query languages know."""

_OUTPUT: Final = frozenset({"Output"})
_ARGUMENTS: Final = frozenset({"Arguments"})
_JSONATA_KEYS: Final[Mapping[str, frozenset[str]]] = {
    "Task": _OUTPUT | _ARGUMENTS,
    "Parallel": _OUTPUT | _ARGUMENTS,
    "Fail": frozenset(),
}
_PATHS: Final = frozenset({"InputPath", "OutputPath"})
_RESULTS: Final = frozenset({"Parameters", "ResultSelector", "ResultPath"})
_JSONPATH_KEYS: Final[Mapping[str, frozenset[str]]] = {
    "Task": _PATHS | _RESULTS | {"TimeoutSecondsPath", "HeartbeatSecondsPath"},
    "Parallel": _PATHS | _RESULTS,
    "Map": _PATHS
    | _RESULTS
    | {"ItemsPath", "MaxConcurrencyPath", "ToleratedFailureCountPath", "ToleratedFailurePercentagePath"},
    "Pass": _PATHS | {"Parameters", "Result", "ResultPath"},
    "Wait": _PATHS | {"SecondsPath", "TimestampPath"},
    "Fail": frozenset({"ErrorPath", "CausePath"}),
}


def keys_of(state_type: str, language: str) -> frozenset[str]:
    """All keys that a state of the type takes in the query language."""
    if language == "JSONata":
        return STATE_KEYS[state_type] | _JSONATA_KEYS.get(state_type, _OUTPUT)
    return STATE_KEYS[state_type] | _JSONPATH_KEYS.get(state_type, _PATHS)


class Edge(NamedTuple):
    """Where a state can go. ``kind`` is next, rule, default or catch; ``position`` counts rules and catchers."""

    target: str
    kind: str
    position: int
    key: str


def edges(state: Mapping[str, Any]) -> Iterator[Edge]:
    """The transitions out of a state, in their order in the file; parts of the wrong type are skipped."""
    for index, rule in enumerate(_objects(state.get("Choices"))):
        if isinstance(rule.get("Next"), str):
            yield Edge(rule["Next"], "rule", index, f"Choices[{index}].Next")
    for key, kind in (("Default", "default"), ("Next", "next")):
        if isinstance(state.get(key), str):
            yield Edge(state[key], kind, 0, key)
    for index, catcher in enumerate(_objects(state.get("Catch"))):
        if isinstance(catcher.get("Next"), str):
            yield Edge(catcher["Next"], "catch", index, f"Catch[{index}].Next")


def branches(state: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The state machines inside a state, with the key each stands under."""
    for index, branch in enumerate(_objects(state.get("Branches"))):
        yield f"Branches[{index}]", branch
    for key in ("ItemProcessor", "Iterator"):
        if isinstance(state.get(key), Mapping):
            yield key, state[key]


def _objects(value: Any) -> Sequence[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []
