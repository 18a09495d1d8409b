"""A model of what a DAG run has after any history of starts, retries, clears, kills and injected faults.

It knows nothing of the product's own decision: an execution is remembered by its ARN and its input.
"""

from __future__ import annotations

from dataclasses import dataclass, field

# What a start does on a retry, by the condition of the latest execution. DEAD: it failed and can't be redriven.
ON_RETRY = {
    "ABSENT": "start",
    "RUNNING": "adopt",
    "SUCCEEDED": "adopt",
    "FAILED": "redrive",
    "ABORTED": "redrive",
    "DEAD": "replace",
    "SUPERSEDED": "replace",
}


@dataclass
class KnownExecution:
    """An execution; without an ARN one whose start never arrived."""

    arn: str
    edition: int
    status: str = "RUNNING"
    redrives: int = 0
    dead: bool = False
    superseded: bool = False

    @property
    def condition(self) -> str:
        if self.superseded:
            return "SUPERSEDED"
        return "DEAD" if self.dead and self.status in {"FAILED", "ABORTED"} else self.status

    def redriven(self) -> None:
        assert self.status in {"FAILED", "ABORTED"}
        assert not self.superseded
        self.status, self.redrives = "RUNNING", self.redrives + 1

    def stopped(self) -> None:
        self.status = "ABORTED" if self.status == "RUNNING" else self.status


@dataclass
class ExpectedExecutions:
    """The executions of one run."""

    edition: int = 0
    cleared: bool = False
    """Whether the start was, since it last chose a name."""
    known: list[KnownExecution] = field(default_factory=list)
    latest: KnownExecution | None = None
    reported: tuple[str, int] | None = None
    """The failure that the wait has reported last."""

    def decision(self) -> str:
        """What the next start does."""
        if self.latest is None or self.latest.status == "ABSENT":
            return "start"
        if self.cleared:
            return "replace" if self.latest.condition in {"RUNNING", "SUPERSEDED"} else "start anew"
        return "replace" if self.latest.edition != self.edition else ON_RETRY[self.latest.condition]

    def begun(self, arn: str) -> KnownExecution:
        """A new execution; with an empty ARN its start never arrived. What ran before was superseded."""
        for each in self.running():
            each.stopped()
            each.superseded = True
        self.latest, self.cleared = KnownExecution(arn, self.edition, "RUNNING" if arn else "ABSENT"), False
        if arn:
            self.known.append(self.latest)
        return self.latest

    def running(self) -> list[KnownExecution]:
        return [each for each in self.known if each.status == "RUNNING"]
