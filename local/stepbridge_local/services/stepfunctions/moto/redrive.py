"""Program runs in moto's environments: recording the states they enter, and continuing them after a redrive."""

from __future__ import annotations

import copy
from typing import Final

from moto.stepfunctions.parser.asl.eval.environment import Environment

from stepbridge_local.services.stepfunctions.program_run import Checkpoint, ProgramRun

__all__ = ["begin_program", "enter_state", "program_run", "runs_to_continue", "set_program_run"]

_RUN: Final = "stepbridge_program_run"


def set_program_run(env: Environment, run: ProgramRun) -> None:
    """Let ``env`` record its states in ``run``."""
    vars(env)[_RUN] = run


def program_run(env: Environment) -> ProgramRun:
    """The run of ``env``; a new one for an environment that has none."""
    run: ProgramRun = vars(env).setdefault(_RUN, ProgramRun())
    return run


def begin_program(env: Environment, start_at: str) -> None:
    """Set the first state: ``start_at``, or after a redrive the remembered one, with its input and variables."""
    run = program_run(env)
    if run.redriven and run.checkpoint is not None:
        env.states.reset(run.checkpoint.state_input)
        env.variable_store._inner_scope.clear()
        env.variable_store._inner_scope.update(copy.deepcopy(run.checkpoint.variables))
        env.variable_store._variable_declarations_cache = None
        start_at = run.checkpoint.state_name
    env.next_state_name = start_at


def enter_state(env: Environment, state_name: str) -> bool:
    """Remember that ``env`` enters a state. True if a redrive continues this state."""
    run = program_run(env)
    if run.redriven:
        run.redriven = False
        return True
    run.checkpoint = Checkpoint(state_name, env.states.get_input(), copy.deepcopy(env.variable_store._inner_scope))
    return False


def runs_to_continue(env: Environment, count: int) -> list[ProgramRun]:
    """The runs of the Parallel or Map state of ``env``: new ones, or after a redrive the earlier ones."""
    checkpoint = program_run(env).checkpoint
    if checkpoint is None:
        return [ProgramRun() for _ in range(count)]
    if not checkpoint.continues:
        checkpoint.runs = {}
    checkpoint.continues = False  # a retry of the state starts all of them again
    return [checkpoint.runs.setdefault(index, ProgramRun()) for index in range(count)]
