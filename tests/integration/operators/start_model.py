"""A model of what a DAG run has after any history of starts, retries, clears, kills and injected faults.

It knows nothing of the product's own decision: an execution is remembered by its ARN, the clear it was begun after,
the clear that took it up last, and its input.
"""

from __future__ import annotations

from dataclasses import dataclass, field

# What a start does, by whose the latest execution with its input is, and how that one stands. DEAD: it has failed and
# can't be redriven.
DOES = {
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
class Known:
    """An execution."""

    arn: str
    edition: int
    clear: int
    status: str = "RUNNING"
    redrives: int = 0
    dead: bool = False

    @property
    def standing(self) -> str:
        return "DEAD" if self.dead and self.status in {"FAILED", "ABORTED"} else self.status

    def redriven(self) -> None:
        assert self.status in {"FAILED", "ABORTED"}
        self.status, self.redrives = "RUNNING", self.redrives + 1

    def stopped(self) -> None:
        self.status = "ABORTED" if self.status == "RUNNING" else self.status


@dataclass
class Model:
    """The executions of one run."""

    clears: int = 0
    edition: int = 0
    known: list[Known] = field(default_factory=list)
    chosen: Known | None = None
    """The execution that the latest start took up."""

    def latest(self) -> Known | None:
        """The latest execution with the present input."""
        return next((each for each in reversed(self.known) if each.edition == self.edition), None)

    def decision(self) -> str:
        """What the next start does."""
        latest = self.latest()
        if latest is None:
            return DOES["nobody's", "ABSENT"]
        return DOES["own" if latest.clear == self.clears else "earlier clear's", latest.standing]

    def begun(self, arn: str) -> Known:
        """A new execution."""
        new = Known(arn, self.edition, self.clears)
        self.known.append(new)
        return new

    def taken_up(self) -> Known:
        """The latest one is this clear's own from now on."""
        latest = self.latest()
        assert latest
        latest.clear = self.clears
        return latest

    def running(self) -> list[Known]:
        return [each for each in self.known if each.status == "RUNNING"]
