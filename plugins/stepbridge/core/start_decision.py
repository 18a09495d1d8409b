"""What a start does about the executions it finds: begin one, adopt one, redrive one.

An execution's identity within a DAG run is (clear number, attempt); model, run, map index and the input's digest are
the same throughout, and a changed input is another set of names. ``next_step`` is asked again and again with what is
known so far, and answers with what to do next; the caller looks, starts, adopts or redrives, and tells what it saw.

The table (``docs``: DESIGN, "What a start does"):

========================================== =======================================================================
it finds                                   it does
========================================== =======================================================================
no execution                               starts one
RUNNING or SUCCEEDED, this clear           adopts it: a retry, the worker died after the call
failed, this clear                         redrives it; not redrivable: starts the next attempt
an earlier clear: RUNNING                  adopts it
an earlier clear: failed                   redrives it; not redrivable: starts one
an earlier clear: SUCCEEDED                starts one: the user wants it done again
an earlier clear, taken up since this one  as if it were of this clear: what was redriven or adopted and has succeeded
                                           by the time of a retry is what the user asked for
========================================== =======================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from stepbridge.core.statuses import execution_status

__all__ = ["ABSENT", "REDRIVABLE", "Adopt", "Identity", "Look", "Redrive", "Sighting", "Start", "Step", "next_step"]

REDRIVABLE: Final = "REDRIVABLE"


@dataclass(frozen=True, order=True)
class Identity:
    """Which execution of the run: after how many clears, and which attempt since then. Both count from 0."""

    clear_number: int
    attempt: int


@dataclass(frozen=True)
class Sighting:
    """What was seen of an execution. ``status`` is empty when there is none."""

    status: str
    redrive_status: str = ""

    @property
    def exists(self) -> bool:
        return bool(self.status)

    @property
    def under_way(self) -> bool:
        return self.exists and not execution_status(self.status).terminal

    @property
    def succeeded(self) -> bool:
        return self.exists and execution_status(self.status).succeeded

    @property
    def redrivable(self) -> bool:
        return self.exists and execution_status(self.status).failed and self.redrive_status == REDRIVABLE


ABSENT: Final = Sighting("")


@dataclass(frozen=True)
class Look:
    """Describe this execution and ask again."""

    at: Identity


@dataclass(frozen=True)
class Start:
    """Start this execution; if the name turns out to be taken, look at it and ask again."""

    at: Identity


@dataclass(frozen=True)
class Adopt:
    """Wait for this execution as it is."""

    at: Identity


@dataclass(frozen=True)
class Redrive:
    """Redrive this execution; if it can't be, tell so (a sighting that is not redrivable) and ask again."""

    at: Identity


Step = Look | Start | Adopt | Redrive


def next_step(clear_number: int, seen: Mapping[Identity, Sighting], taken_up: Identity | None = None) -> Step:
    """What to do next for a run that was cleared ``clear_number`` times, given what was ``seen`` so far.

    ``taken_up`` is the execution of an earlier clear that a try of this clear has set out to redrive or adopt.
    Ends after finitely many sightings: it never asks for one that it has, and goes past an attempt only when that one
    exists, failed and is not redrivable. Raises UnknownStatusError for a status that AWS does not document.
    """
    for clear in range(clear_number, -1, -1):
        step = _since(clear, clear_number, seen, taken_up)
        if step is not None:
            return step
    return Start(Identity(clear_number, 0))


def _since(clear: int, clear_number: int, seen: Mapping[Identity, Sighting], taken_up: Identity | None) -> Step | None:
    """What the executions started after clear ``clear`` and before the next one call for; None: there are none."""
    current, attempt = clear == clear_number, 0
    while True:
        at = Identity(clear, attempt)
        sighting = seen.get(at)
        if sighting is None:
            # Nothing can lie before the first clear or between attempts, so there StartExecution may answer itself
            # whether the name is free: the usual start is one call.
            return Start(at) if current and (attempt or clear == 0) else Look(at)
        if not sighting.exists:
            return Start(Identity(clear_number, attempt if current else 0)) if attempt else None
        if sighting.under_way or (sighting.succeeded and (current or at == taken_up)):
            return Adopt(at)
        if sighting.redrivable:
            return Redrive(at)
        if sighting.succeeded:
            return Start(Identity(clear_number, 0))
        attempt += 1
