"""What a redrive needs to know: in which state each run stands, what it was given and which branches are done.

A *lane* is one run through a program: the execution itself, a branch of a Parallel state, an iteration of an inline
Map. A lane remembers the state that it entered last, with that state's input and the lane's variables at that moment.
A state that was exited is never the remembered one of an unsuccessful lane, so continuing there is what AWS documents:
https://docs.aws.amazon.com/step-functions/latest/dg/redrive-executions.html
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from moto.stepfunctions.parser.asl.eval.environment import Environment

__all__ = [
    "Checkpoint",
    "Lane",
    "begin_run",
    "enter_state",
    "lane_from_record",
    "lane_of",
    "lane_to_record",
    "lanes_to_continue",
    "put_into_lane",
]

_LANE: Final = "stepbridge_lane"


@dataclass
class Checkpoint:
    """A state that was entered: its input, the variables of the lane then, and the lanes below it by index."""

    state_name: str
    state_input: Any
    variables: dict[str, Any]
    lanes: dict[int, Lane] = field(default_factory=dict)
    continues: bool = False  # True from a redrive until the state has taken up its lanes again


@dataclass
class Lane:
    """One run through a program. ``output`` counts once ``finished``."""

    checkpoint: Checkpoint | None = None
    finished: bool = False
    output: Any = None
    redriven: bool = False  # True from a redrive until the first state is entered again

    def finish(self, output: Any) -> None:
        """Keep the output: a redrive does not run this lane again."""
        self.finished, self.output = True, copy.deepcopy(output)

    def redrive(self) -> None:
        """Make the next run continue where this one stopped."""
        if self.finished or self.checkpoint is None:
            return
        self.redriven = self.checkpoint.continues = True
        for lane in self.checkpoint.lanes.values():
            lane.redrive()


def lane_to_record(lane: Lane, *, with_branches: bool) -> dict[str, Any]:
    """The lane as a JSON document, with or without the lanes of its branches and iterations."""
    record: dict[str, Any] = {"finished": lane.finished, "output": lane.output, "checkpoint": None}
    checkpoint = lane.checkpoint
    if checkpoint is not None:
        branches = dict(checkpoint.lanes) if with_branches else {}
        record["checkpoint"] = {
            "state_name": checkpoint.state_name,
            "state_input": checkpoint.state_input,
            "variables": dict(checkpoint.variables),
            "lanes": {str(index): lane_to_record(branch, with_branches=True) for index, branch in branches.items()},
        }
    return record


def lane_from_record(record: Mapping[str, Any] | None) -> Lane:
    """The lane that ``lane_to_record`` described; one that has not begun for None."""
    if record is None:
        return Lane()
    lane = Lane(finished=record["finished"], output=record["output"])
    kept = record["checkpoint"]
    if kept is not None:
        lanes = {int(index): lane_from_record(branch) for index, branch in kept["lanes"].items()}
        lane.checkpoint = Checkpoint(kept["state_name"], kept["state_input"], kept["variables"], lanes)
    return lane


def put_into_lane(env: Environment, lane: Lane) -> None:
    """Let ``env`` record its states in ``lane``."""
    vars(env)[_LANE] = lane


def lane_of(env: Environment) -> Lane:
    """The lane of ``env``; a new one for an environment that was given none."""
    lane: Lane = vars(env).setdefault(_LANE, Lane())
    return lane


def begin_run(env: Environment, start_at: str) -> None:
    """Set the first state: ``start_at``, or for a redriven lane the remembered one with its input and variables."""
    lane = lane_of(env)
    if lane.redriven and lane.checkpoint is not None:
        env.states.reset(lane.checkpoint.state_input)
        env.variable_store._inner_scope.clear()
        env.variable_store._inner_scope.update(copy.deepcopy(lane.checkpoint.variables))
        env.variable_store._variable_declarations_cache = None
        start_at = lane.checkpoint.state_name
    env.next_state_name = start_at


def enter_state(env: Environment, state_name: str) -> bool:
    """Remember that ``env`` enters a state. True when a redrive continues this very state."""
    lane = lane_of(env)
    if lane.redriven:
        lane.redriven = False
        return True
    lane.checkpoint = Checkpoint(state_name, env.states.get_input(), copy.deepcopy(env.variable_store._inner_scope))
    return False


def lanes_to_continue(env: Environment, count: int) -> list[Lane]:
    """The lanes of the Parallel or Map state that ``env`` is in: new ones, or at a redrive those of the run before."""
    checkpoint = lane_of(env).checkpoint
    if checkpoint is None:
        return [Lane() for _ in range(count)]
    if not checkpoint.continues:
        checkpoint.lanes = {}
    checkpoint.continues = False  # a retry of the state starts all of them anew
    return [checkpoint.lanes.setdefault(index, Lane()) for index in range(count)]
