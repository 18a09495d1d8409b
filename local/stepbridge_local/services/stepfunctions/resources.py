"""Checks the resources that a definition names when it is created, as Step Functions does. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from stepbridge_local.partitions import partition
from stepbridge_local.services.stepfunctions.transitions import inner_machines

__all__ = ["check_resources"]


def check_resources(definition: Any, region: str) -> None:
    """Raises ValueError for the ARN of an integration of another partition than the region's, such as China's."""
    own = f"arn:{partition(region)}:"
    for resource, place in _resources(definition, ""):
        if not resource.startswith(own):
            raise ValueError(
                f"SCHEMA_VALIDATION_FAILED: The resource provided {resource} is not recognized. The value is not a "
                f"valid resource ARN, or the resource is not available in this region. at {place}/Resource"
            )


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
