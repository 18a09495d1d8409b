"""What a redrive needs to know: in which state each run stands, what it was given and which branches are done.

A *lane* is one run through a program: the execution itself, a branch of a Parallel state, an iteration of an inline
Map. A lane remembers the state that it entered last, with that state's input and the lane's variables at that moment.
A state that was exited is never the remembered one of an unsuccessful lane, so continuing there is what AWS documents:
https://docs.aws.amazon.com/step-functions/latest/dg/redrive-executions.html
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any, Final

from moto.stepfunctions.parser.asl.eval.environment import Environment

__all__ = ["Checkpoint", "Lane", "begin_run", "enter_state", "lane_of", "lanes_to_continue", "put_into_lane"]

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
