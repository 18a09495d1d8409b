"""Checks the transitions of a definition when it is created, as Step Functions does. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

__all__ = ["check_transitions", "inner_machines"]

_ENDING: Final = frozenset({"Succeed", "Fail", "Choice"})  # which have neither Next nor End


def check_transitions(definition: Any) -> None:
    """Raises ValueError for a state without a valid next state, or that cannot be reached."""
    for problem in _problems(definition, ""):
        raise ValueError(problem)


def _problems(machine: Any, where: str) -> Iterator[str]:
    states = machine.get("States") if isinstance(machine, Mapping) else None
    if not isinstance(states, Mapping):
        return  # the parser reports it
    if machine.get("StartAt") not in states:
        yield f"MISSING_TRANSITION_TARGET: Missing 'StartAt' target: {machine.get('StartAt')} at {where}/StartAt"
    reached = {machine.get("StartAt")}
    for name, state in states.items():
        if not isinstance(state, Mapping):
            continue
        here = f"{where}/States/{name}"
        for target, place in _targets(state):
            reached.add(target)
            if target not in states:
                yield f"MISSING_TRANSITION_TARGET: Missing 'Next' target: {target} at {here}{place}"
        if state.get("Type") not in _ENDING and "Next" not in state and state.get("End") is not True:
            yield f"SCHEMA_VALIDATION_FAILED: A state must have 'Next' or 'End' at {here}"
        for inner, place in inner_machines(state):
            yield from _problems(inner, f"{here}{place}")
    for name in states:
        if name not in reached:
            yield f'MISSING_TRANSITION_TARGET: State "{name}" is not reachable. at {where}/States/{name}'


def _targets(state: Mapping[str, Any]) -> Iterator[tuple[Any, str]]:
    for member in ("Next", "Default"):
        if member in state:
            yield state[member], f"/{member}"
    for member in ("Choices", "Catch"):
        rules = state.get(member)
        for position, rule in enumerate(rules if isinstance(rules, list) else []):
            if isinstance(rule, Mapping) and "Next" in rule:
                yield rule["Next"], f"/{member}[{position}]/Next"


def inner_machines(state: Mapping[str, Any]) -> Iterator[tuple[Any, str]]:
    """The branches of a state, or its item processor, each with its place below the state."""
    for member in ("ItemProcessor", "Iterator"):
        if member in state:
            yield state[member], f"/{member}"
    branches = state.get("Branches")
    for position, branch in enumerate(branches if isinstance(branches, list) else []):
        yield branch, f"/Branches[{position}]"
