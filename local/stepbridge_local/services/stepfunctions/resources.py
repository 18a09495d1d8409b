"""Checks the resources that a definition names when it is created, as Step Functions does. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from stepbridge_local.partitions import partition
from stepbridge_local.services.stepfunctions.definition_checks import Problem
from stepbridge_local.services.stepfunctions.transitions import inner_machines

__all__ = ["resource_problems"]

_NOT_IN_EXPRESS: Final = frozenset({"sync", "sync:2", "waitForTaskToken"})


def resource_problems(definition: Any, region: str, machine_type: str = "STANDARD") -> Iterator[Problem]:
    """Yields resources of another partition than the region's, and those that Express workflows do not have."""
    own = f"arn:{partition(region)}:"
    for resource, place in _resources(definition, ""):
        pattern = resource.rpartition(".")[2]
        if not resource.startswith(own):
            yield Problem(
                f"The resource provided {resource} is not recognized. The value is not a valid resource ARN, or the "
                "resource is not available in this region.",
                f"{place}/Resource",
            )
        elif machine_type == "EXPRESS" and pattern in _NOT_IN_EXPRESS:
            message = f"Express state machine does not support '.{pattern}' service integration"
            yield Problem(message, f"{place}/Resource")
        elif machine_type == "EXPRESS" and ":activity:" in resource:
            yield Problem("Activities are not supported by Express state machines", f"{place}/Resource")


def _resources(machine: Any, place: str) -> Iterator[tuple[str, str]]:
    """The resources of tasks and of the item readers of Maps, each with its place."""
    states = machine.get("States") if isinstance(machine, Mapping) else None
    for name, state in states.items() if isinstance(states, Mapping) else ():
        if not isinstance(state, Mapping):
            continue
        here = f"{place}/States/{name}"
        for owner, where in ((state, here), (state.get("ItemReader"), f"{here}/ItemReader")):
            if isinstance(owner, Mapping) and isinstance(owner.get("Resource"), str):
                yield owner["Resource"], where
        for inner, member in inner_machines(state):
            yield from _resources(inner, here + member)
