"""A model of what a DAG run has after any history of starts, retries, clears, kills and injected faults.

It knows nothing of the product's own decision: an execution is remembered by its ARN, the clear it was begun after,
the clear that took it up last, and its input.
"""

from __future__ import annotations

from dataclasses import dataclass, field

# What a start does, by the owner and the status of the latest execution with its input. DEAD: it failed and can't be
# redriven.
ACTIONS = {
    ("nobody's", "ABSENT"): "start",
    ("own", "RUNNING"): "adopt",
    ("own", "SUCCEEDED"): "adopt",
    ("own", "FAILED"): "redrive",
    ("own", "ABORTED"): "redrive",
    ("own", "DEAD"): "start",
    ("earlier clear's", "RUNNING"): "adopt",
    ("earlier clear's", "SUCCEEDED"): "start",
    ("earlier clear's", "FAILED"): "redrive",
    ("earlier clear's", "ABORTED"): "redrive",
    ("earlier clear's", "DEAD"): "start",
}


@dataclass
class KnownExecution:
    """An execution."""

    arn: str
    edition: int
    clear: int
    status: str = "RUNNING"
    redrives: int = 0
    dead: bool = False

    @property
    def condition(self) -> str:
        return "DEAD" if self.dead and self.status in {"FAILED", "ABORTED"} else self.status

    def redriven(self) -> None:
        assert self.status in {"FAILED", "ABORTED"}
        self.status, self.redrives = "RUNNING", self.redrives + 1

    def stopped(self) -> None:
        self.status = "ABORTED" if self.status == "RUNNING" else self.status


@dataclass
class ExpectedExecutions:
    """The executions of one run."""

    clears: int = 0
    edition: int = 0
    known: list[KnownExecution] = field(default_factory=list)
    chosen: KnownExecution | None = None
    """The execution that the latest start returned."""

    def latest(self) -> KnownExecution | None:
        """The latest execution with the present input."""
        return next((each for each in reversed(self.known) if each.edition == self.edition), None)

    def decision(self) -> str:
        """What the next start does."""
        latest = self.latest()
        if latest is None:
            return ACTIONS["nobody's", "ABSENT"]
        return ACTIONS["own" if latest.clear == self.clears else "earlier clear's", latest.condition]

    def begun(self, arn: str) -> KnownExecution:
        """A new execution."""
        new = KnownExecution(arn, self.edition, self.clears)
        self.known.append(new)
        return new

    def reuse_latest(self) -> KnownExecution:
        """The latest one is this clear's own from now on."""
        latest = self.latest()
        assert latest
        latest.clear = self.clears
        return latest

    def running(self) -> list[KnownExecution]:
        return [each for each in self.known if each.status == "RUNNING"]
