"""The data for a redrive: the current state of each run, its input, and which branches are finished. Pure.

A *program run* is one run through the states of a program: the execution itself, a branch of a Parallel state, an
iteration of an inline Map. It remembers the state that it entered last, with that state's input and the variables at
that moment. In an unsuccessful run this is never a state that was exited. So a redrive continues there, as AWS
documents: https://docs.aws.amazon.com/step-functions/latest/dg/redrive-executions.html
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Checkpoint", "ProgramRun", "run_from_record", "run_to_record"]


@dataclass
class Checkpoint:
    """A state that was entered: its input, the variables then, and the runs of its branches by index."""

    state_name: str
    state_input: Any
    variables: dict[str, Any]
    runs: dict[int, ProgramRun] = field(default_factory=dict)
    continues: bool = False  # True from a redrive until the state has resumed its branches


@dataclass
class ProgramRun:
    """One run through a program. ``output`` counts once ``finished``."""

    checkpoint: Checkpoint | None = None
    finished: bool = False
    output: Any = None
    redriven: bool = False  # True from a redrive until the first state is entered again

    def finish(self, output: Any) -> None:
        """Store the output. A redrive does not repeat this run."""
        self.finished, self.output = True, copy.deepcopy(output)

    def redrive(self) -> None:
        """Make the next run continue where this one stopped."""
        if self.finished or self.checkpoint is None:
            return
        self.redriven = self.checkpoint.continues = True
        for run in self.checkpoint.runs.values():
            run.redrive()


def run_to_record(run: ProgramRun, *, with_branches: bool) -> dict[str, Any]:
    """The run as a JSON document, with or without the runs of its branches and iterations."""
    record: dict[str, Any] = {"finished": run.finished, "output": run.output, "checkpoint": None}
    checkpoint = run.checkpoint
    if checkpoint is not None:
        branches = dict(checkpoint.runs) if with_branches else {}
        record["checkpoint"] = {
            "state_name": checkpoint.state_name,
            "state_input": checkpoint.state_input,
            "variables": dict(checkpoint.variables),
            # "lanes" in the records of every version
            "lanes": {str(index): run_to_record(branch, with_branches=True) for index, branch in branches.items()},
        }
    return record


def run_from_record(record: Mapping[str, Any] | None) -> ProgramRun:
    """The run that ``run_to_record`` described; one that has not begun for None."""
    if record is None:
        return ProgramRun()
    run = ProgramRun(finished=record["finished"], output=record["output"])
    kept = record["checkpoint"]
    if kept is not None:
        runs = {int(index): run_from_record(branch) for index, branch in kept["lanes"].items()}
        run.checkpoint = Checkpoint(kept["state_name"], kept["state_input"], kept["variables"], runs)
    return run
