"""The keys that each type of state takes, as data, and the walk over a state's successors.

Source: https://states-language.net/spec.html and
https://docs.aws.amazon.com/step-functions/latest/dg/statemachine-structure.html
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

TOP_KEYS: Final = frozenset({"Comment", "QueryLanguage", "StartAt", "States", "TimeoutSeconds", "Version"})
BRANCH_KEYS: Final = frozenset({"Comment", "QueryLanguage", "StartAt", "States", "ProcessorConfig"})

END_TYPES: Final = ("Succeed", "Fail")
"""Types of states that end the execution by themselves."""

_EVERY_STATE: Final = "Type Comment QueryLanguage"
_WORK: Final = "Next End Assign Retry Catch"
_MAP: Final = (
    "ItemProcessor Iterator Items ItemReader ItemBatcher ItemSelector ResultWriter Label MaxConcurrency "
    "ToleratedFailureCount ToleratedFailurePercentage"
)
_PATHS: Final = "InputPath OutputPath"
_RESULTS: Final = f"{_PATHS} Parameters ResultSelector ResultPath"
_MAP_PATHS: Final = "ItemsPath MaxConcurrencyPath ToleratedFailureCountPath ToleratedFailurePercentagePath"
# By type: the keys of both query languages, those of JSONata alone, those of JSONPath alone.
_KEYS: Final[Mapping[str, tuple[str, str, str]]] = {
    "Task": (
        f"{_WORK} Resource TimeoutSeconds HeartbeatSeconds Credentials",
        "Output Arguments",
        f"{_RESULTS} TimeoutSecondsPath HeartbeatSecondsPath",
    ),
    "Parallel": (f"{_WORK} Branches", "Output Arguments", _RESULTS),
    "Map": (f"{_WORK} {_MAP}", "Output", f"{_RESULTS} {_MAP_PATHS}"),
    "Pass": ("Next End Assign", "Output", f"{_PATHS} Parameters Result ResultPath"),
    "Wait": ("Next End Assign Seconds Timestamp", "Output", f"{_PATHS} SecondsPath TimestampPath"),
    "Choice": ("Choices Default Assign", "Output", _PATHS),
    "Succeed": ("", "Output", _PATHS),
    "Fail": ("Error Cause", "", "ErrorPath CausePath"),
}
STATE_TYPES: Final = tuple(_KEYS)


def keys_of(state_type: str, language: str) -> frozenset[str]:
    """All keys that a state of the type takes in the query language."""
    both, jsonata, jsonpath = _KEYS[state_type]
    return frozenset(f"{_EVERY_STATE} {both} {jsonata if language == 'JSONata' else jsonpath}".split())


class Edge(NamedTuple):
    """Where a state can go, and the key that says so, such as ``Catch[0].Next``."""

    target: str
    key: str


def edges(state: Mapping[str, Any]) -> Iterator[Edge]:
    """The transitions out of a state, in their order in the file; parts of the wrong type are skipped."""
    places = [(f"Choices[{index}].Next", rule) for index, rule in enumerate(_objects(state.get("Choices")))]
    places += [("Default", {"Next": state.get("Default")}), ("Next", state)]
    places += [(f"Catch[{index}].Next", catcher) for index, catcher in enumerate(_objects(state.get("Catch")))]
    return (Edge(place["Next"], key) for key, place in places if isinstance(place.get("Next"), str))


def branches(state: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The state machines inside a state, with the key each stands under."""
    for index, branch in enumerate(_objects(state.get("Branches"))):
        yield f"Branches[{index}]", branch
    for key in ("ItemProcessor", "Iterator"):
        if isinstance(state.get(key), Mapping):
            yield key, state[key]


def _objects(value: Any) -> Sequence[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []
