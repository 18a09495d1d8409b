"""Checks the transitions of a definition when it is created, as Step Functions does. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from stepbridge_local.services.stepfunctions.definition_checks import Problem

__all__ = ["inner_machines", "transition_problems"]

_ENDING: Final = frozenset({"Succeed", "Fail", "Choice"})  # which have neither Next nor End


def transition_problems(definition: Any) -> Iterator[Problem]:
    """Yields each state without a valid next state, each that cannot be reached, and each machine without an end."""
    yield from _problems(definition, "")


def _problems(machine: Any, where: str) -> Iterator[Problem]:
    states = machine.get("States") if isinstance(machine, Mapping) else None
    if not isinstance(states, Mapping):
        return  # the check of the fields reports it
    if "StartAt" in machine and machine["StartAt"] not in states:
        yield _missing(f"Missing 'StartAt' target: {machine.get('StartAt')}", f"{where}/StartAt")
    reached = {machine.get("StartAt")}
    for name, state in states.items():
        if not isinstance(state, Mapping):
            continue
        here = f"{where}/States/{name}"
        for target, place in _targets(state):
            reached.add(target)
            if target not in states:
                yield _missing(f"Missing 'Next' target: {target}", f"{here}{place}")
        if state.get("Type") not in _ENDING and "Next" not in state and state.get("End") is not True:
            yield Problem("A state must have 'Next' or 'End'", here)
        for inner, place in inner_machines(state):
            yield from _problems(inner, f"{here}{place}")
    if states and not any(_ends(state) for state in states.values() if isinstance(state, Mapping)):
        yield Problem("Workflow has no terminal state", where, "MISSING_END_STATE")
        return
    for name in states:
        if name not in reached:
            yield _missing(f'State "{name}" is not reachable.', f"{where}/States/{name}")


def _missing(message: str, place: str) -> Problem:
    return Problem(message, place, "MISSING_TRANSITION_TARGET")


def _ends(state: Mapping[str, Any]) -> bool:
    return state.get("End") is True or state.get("Type") in ("Succeed", "Fail")


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
