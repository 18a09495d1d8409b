"""What is wrong with the structure of a state machine definition: all of it at once, each with its JSON path.

This is what Step Functions would refuse, and three rules of this project: every state can be reached and leads to an
end, and every Task has a TimeoutSeconds (without one it may wait for ever). Whether the expressions compile is for an
evaluator to say; the tests ask one.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any, Final

from stepbridge.asl import rules
from stepbridge.asl.rules import one_of, unknown_keys
from stepbridge.asl.states import BRANCH_KEYS, END_TYPES, STATE_TYPES, TOP_KEYS, branches, edges, keys_of
from stepbridge.errors import DefinitionError, Problem

LANGUAGES: Final = ("JSONPath", "JSONata")
NAME_LENGTH: Final = 80
MAX_TIMEOUT_SECONDS: Final = 99_999_999


Definition = Mapping[str, Any]
"""A definition as JSON has it."""


def load_definition(text: str, source: str) -> Definition:
    """The definition in the JSON ``text``. Raises DefinitionError with all problems; ``source`` is the file's path."""
    try:
        definition: Definition = json.loads(text, object_pairs_hook=partial(_object, source))
    except json.JSONDecodeError as error:
        line = text.split("\n")[error.lineno - 1]
        excerpt = f"{line}\n{' ' * (error.colno - 1)}^" if line else ""
        where = f"{source}:{error.lineno}:{error.colno}"
        raise DefinitionError(source, [Problem(where, error.msg, "a JSON document", "", excerpt)]) from None
    problems = validate_definition(definition, source)
    if problems:
        raise DefinitionError(source, problems)
    return definition


def _object(source: str, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = sorted({name for name in names if names.count(name) > 1})
        what = f"the key {twice[0]!r} comes twice beside {', '.join(sorted(found)[:5])}"
        raise DefinitionError(source, [Problem(source, what, "each key once in an object")])
    return found


def validate_definition(definition: Any, source: str = "state machine") -> list[Problem]:
    """All problems of the definition, in its order; none means that its structure is sound."""
    if not isinstance(definition, Mapping):
        return [Problem(f"{source} $", f"a {type(definition).__name__}", "an object with StartAt and States")]
    found = [
        *unknown_keys(definition, "$", TOP_KEYS),
        *_seconds(definition.get("TimeoutSeconds"), "$.TimeoutSeconds"),
        *_machine(definition, "$", "JSONPath"),
        *_names_twice(definition, "$", {}),
    ]
    return [Problem(f"{source} {problem.where}", problem.found, problem.expected, problem.remedy) for problem in found]


def _machine(machine: Mapping[str, Any], path: str, outer_language: str) -> Iterator[Problem]:
    """The problems of a state machine or of a branch, at ``path``."""
    language = machine.get("QueryLanguage", outer_language)
    if language not in LANGUAGES:
        yield Problem(f"{path}.QueryLanguage", repr(language), " or ".join(LANGUAGES))
        language = outer_language
    states = machine.get("States")
    if not isinstance(states, Mapping) or not states:
        yield Problem(f"{path}.States", "no states", "an object of at least one state")
        return
    start = machine.get("StartAt")
    if not isinstance(start, str) or start not in states:
        yield Problem(f"{path}.StartAt", f"no state {start!r}", *one_of(start, states))
    for name, state in states.items():
        place = f"{path}.States[{name!r}]"
        if len(name) > NAME_LENGTH:
            yield Problem(place, f"a name of {len(name)} characters", f"at most {NAME_LENGTH}")
        if isinstance(state, Mapping):
            yield from _state(state, place, states, language)
        else:
            yield Problem(place, f"a {type(state).__name__}", "an object")
    yield from _flow(start, {n: s for n, s in states.items() if isinstance(s, Mapping)}, path)


def _state(state: Mapping[str, Any], path: str, states: Mapping[str, Any], outer_language: str) -> Iterator[Problem]:
    state_type = state.get("Type")
    if not isinstance(state_type, str) or state_type not in STATE_TYPES:
        yield Problem(f"{path}.Type", repr(state_type), f"one of {', '.join(STATE_TYPES)}")
        return
    language = state.get("QueryLanguage", outer_language)
    if language not in LANGUAGES or (outer_language == "JSONata" and language == "JSONPath"):
        yield Problem(f"{path}.QueryLanguage", repr(language), outer_language, "a state may change only to JSONata")
        language = outer_language
    yield from unknown_keys(state, path, keys_of(state_type, language))
    for edge in edges(state):
        if edge.target not in states:
            yield Problem(f"{path}.{edge.key}", f"no state {edge.target!r}", *one_of(edge.target, states))
    yield from _next_or_end(state, path, state_type)
    yield from _type_problems(state, path, state_type, language)
    yield from rules.problems_of_rules(state.get("Retry", []), f"{path}.Retry", rules.retrier_problems)
    yield from rules.problems_of_rules(state.get("Catch", []), f"{path}.Catch", rules.catcher_problems)
    if language == "JSONata":
        yield from _expressions({k: v for k, v in state.items() if k not in ("Branches", "ItemProcessor")}, path)
    for key, branch in branches(state):
        yield from unknown_keys(branch, f"{path}.{key}", BRANCH_KEYS)
        yield from _machine(branch, f"{path}.{key}", outer_language)


def _next_or_end(state: Mapping[str, Any], path: str, state_type: str) -> Iterator[Problem]:
    if state_type in END_TYPES or state_type == "Choice":
        return
    ends = state.get("End", False)
    if not isinstance(ends, bool):
        yield Problem(f"{path}.End", repr(ends), "true or false")
    elif ends == ("Next" in state):
        yield Problem(path, "both Next and End" if ends else "neither Next nor End", "one of the two")


def _type_problems(state: Mapping[str, Any], path: str, state_type: str, language: str) -> Iterator[Problem]:
    match state_type:
        case "Task":
            if not isinstance(state.get("Resource"), str) or not state["Resource"].startswith(("arn:", "${")):
                yield Problem(f"{path}.Resource", repr(state.get("Resource")), "an ARN")
            if not {"TimeoutSeconds", "TimeoutSecondsPath"} & set(state):
                yield Problem(path, "a Task without TimeoutSeconds", "one", "without it the Task may wait for ever")
            yield from _seconds(state.get("TimeoutSeconds"), f"{path}.TimeoutSeconds")
        case "Choice":
            yield from rules.choice_problems(state.get("Choices"), f"{path}.Choices", language)
        case "Wait":
            ways = {"Seconds", "Timestamp", "SecondsPath", "TimestampPath"} & set(state)
            if len(ways) != 1:
                yield Problem(path, f"a Wait with {', '.join(sorted(ways)) or 'no time'}", "one of Seconds, Timestamp")
        case "Parallel" if not isinstance(state.get("Branches"), list) or not state["Branches"]:
            yield Problem(f"{path}.Branches", "no branches", "a list of at least one branch")
        case "Map" if not {"ItemProcessor", "Iterator"} & set(state):
            yield Problem(path, "a Map without ItemProcessor", "one")
        case _:
            return


def _seconds(value: Any, path: str) -> Iterator[Problem]:
    if value is None or (isinstance(value, str) and value.startswith("{%")):
        return
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MAX_TIMEOUT_SECONDS:
        yield Problem(path, repr(value), f"a number of seconds from 1 to {MAX_TIMEOUT_SECONDS}")


def _expressions(value: Any, path: str) -> Iterator[Problem]:
    """A string with an expression is one from end to end; Step Functions takes anything else for plain text."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            if key != "Comment":
                yield from _expressions(item, f"{path}.{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _expressions(item, f"{path}[{index}]")
    elif isinstance(value, str) and "{%" in value:
        if not (value.startswith("{%") and value.endswith("%}") and value.count("{%") == 1):
            yield Problem(path, repr(value[:60]), "the whole string to be one expression, {% … %}", "join texts with &")
        elif not value[2:-2].strip():
            yield Problem(path, "an empty expression", "something between {% and %}")


def _flow(start: Any, states: Mapping[str, Mapping[str, Any]], path: str) -> Iterator[Problem]:
    """States that nothing leads to, and states that lead to no end."""
    follow = {name: [edge.target for edge in edges(state)] for name, state in states.items()}
    starts = [name for name in states if name == start]
    reached = _closure(starts, follow)
    before: dict[str, list[str]] = {}
    for name, targets in follow.items():
        for target in targets:
            before.setdefault(target, []).append(name)
    ends = [name for name, state in states.items() if state.get("Type") in END_TYPES or state.get("End") is True]
    ending = _closure(ends, before)
    for name in states:
        if starts and name not in reached:
            yield Problem(f"{path}.States[{name!r}]", "no state leads here", "", "remove it or lead to it")
        elif name not in ending:
            yield Problem(f"{path}.States[{name!r}]", "no way from here to an end", "Succeed, Fail or End in reach")


def _closure(first: Iterable[str], follow: Mapping[str, list[str]]) -> set[str]:
    seen: set[str] = set()
    waiting = list(first)
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += follow.get(name, [])
    return seen


def _names_twice(machine: Mapping[str, Any], path: str, seen: dict[str, str]) -> Iterator[Problem]:
    """A state's name is unique in the whole definition, branches included."""
    states = machine.get("States")
    for name, state in states.items() if isinstance(states, Mapping) else ():
        if name in seen:
            yield Problem(f"{path}.States[{name!r}]", f"the name stands at {seen[name]} too", "each name once")
        seen.setdefault(name, f"{path}.States")
        for key, branch in branches(state) if isinstance(state, Mapping) else ():
            yield from _names_twice(branch, f"{path}.States[{name!r}].{key}", seen)
