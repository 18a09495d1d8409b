"""What a start does about the executions it finds: start one, adopt one, redrive one.

An execution's identity within a DAG run is (clear number, attempt). Model, run, map index and the input's digest do
not change; a changed input gives another set of names. The caller asks ``next_step`` with the snapshots it has so far,
carries the step out, adds what it saw and asks again.

========================================== =======================================================================
it finds                                   it does
========================================== =======================================================================
no execution                               starts one
RUNNING or SUCCEEDED, this clear           adopts it: a retry, the worker died after the call
failed, this clear                         redrives it; not redrivable: starts the next attempt
an earlier clear: RUNNING                  adopts it
an earlier clear: failed                   redrives it; not redrivable: starts one
an earlier clear: SUCCEEDED                starts one: the user wants it done again
an earlier clear, reused since this one    as if it were of this clear: what was redriven or adopted and has succeeded
                                           by the time of a retry is what the user asked for
========================================== =======================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from stepbridge.core.statuses import execution_status

__all__ = ["ABSENT", "REDRIVABLE", "Adopt", "Describe", "Identity", "Redrive", "Snapshot", "Start", "Step", "next_step"]

REDRIVABLE: Final = "REDRIVABLE"


@dataclass(frozen=True, order=True)
class Identity:
    """Which execution of the run: after how many clears, and which attempt since then. Both count from 0."""

    clear_number: int
    attempt: int


@dataclass(frozen=True)
class Snapshot:
    """What DescribeExecution said. ``status`` is empty when there is no such execution."""

    status: str
    redrive_status: str = ""

    @property
    def exists(self) -> bool:
        return bool(self.status)

    @property
    def running(self) -> bool:
        return self.exists and not execution_status(self.status).terminal

    @property
    def succeeded(self) -> bool:
        return self.exists and execution_status(self.status).succeeded

    @property
    def redrivable(self) -> bool:
        return self.exists and execution_status(self.status).failed and self.redrive_status == REDRIVABLE


ABSENT: Final = Snapshot("")


@dataclass(frozen=True)
class _Step:
    at: Identity


class Describe(_Step):
    """Describe this execution and ask again."""


class Start(_Step):
    """Start this execution; if its name is in use, describe it and ask again."""


class Adopt(_Step):
    """Wait for this execution as it is."""


class Redrive(_Step):
    """Redrive this execution; if AWS refuses, add a snapshot that is not redrivable and ask again."""


Step = Adopt | Describe | Redrive | Start


def next_step(clear_number: int, seen: Mapping[Identity, Snapshot], reused: Identity | None = None) -> Step:
    """What to do next for a run that was cleared ``clear_number`` times, given what was ``seen`` so far.

    ``reused`` is the execution of an earlier clear that a try of this clear has begun to redrive or adopt.
    The questions end: it never asks for a snapshot that it has, and goes past an attempt only when that one exists,
    failed and is not redrivable. Raises UnknownStatusError for a status that AWS does not document.
    """
    for clear in range(clear_number, -1, -1):
        step = _since(clear, clear_number, seen, reused)
        if step is not None:
            return step
    return Start(Identity(clear_number, 0))


def _since(clear: int, clear_number: int, seen: Mapping[Identity, Snapshot], reused: Identity | None) -> Step | None:
    """What the executions started after clear ``clear`` and before the next one call for; None if there are none."""
    current, attempt = clear == clear_number, 0
    while True:
        at = Identity(clear, attempt)
        snapshot = seen.get(at)
        if snapshot is None:
            # Nothing can lie before the first clear or between attempts, so there StartExecution may answer itself
            # whether the name is free: the usual start is one call.
            return Start(at) if current and (attempt or clear == 0) else Describe(at)
        if not snapshot.exists:
            return Start(Identity(clear_number, attempt if current else 0)) if attempt else None
        if snapshot.running or (snapshot.succeeded and (current or at == reused)):
            return Adopt(at)
        if snapshot.redrivable:
            return Redrive(at)
        if snapshot.succeeded:
            return Start(Identity(clear_number, 0))
        attempt += 1
