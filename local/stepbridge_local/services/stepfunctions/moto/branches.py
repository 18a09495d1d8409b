"""Parallel branches and inline Map iterations: concurrent, ended if a sibling fails, continued by a redrive."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

from moto.stepfunctions.parser.api import HistoryEventType
from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import FailureEvent, FailureEventException
from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration.inline_iteration_component import (
    InlineIterationComponent,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration.iteration_worker import IterationWorker
from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration.job import Job, JobClosed, JobPool
from moto.stepfunctions.parser.asl.component.state.exec.state_map.max_concurrency import DEFAULT_MAX_CONCURRENCY_VALUE
from moto.stepfunctions.parser.asl.component.state.exec.state_parallel.branch_worker import BranchWorker
from moto.stepfunctions.parser.asl.component.state.exec.state_parallel.branches_decl import (
    BranchesDecl,
    BranchWorkerPool,
)
from moto.stepfunctions.parser.asl.eval.environment import Environment
from moto.stepfunctions.parser.asl.eval.program_state import ProgramEnded

from stepbridge_local.services.moto.replacement import replace
from stepbridge_local.services.stepfunctions.moto.environment import EvaluationEndedError, event_details, time_of
from stepbridge_local.services.stepfunctions.moto.errors import error_name_of
from stepbridge_local.services.stepfunctions.moto.redrive import runs_to_continue, set_program_run
from stepbridge_local.services.stepfunctions.program_run import ProgramRun

__all__ = ["install"]


# --- Parallel ---------------------------------------------------------------------------------------------------------
def _run_branches(self: BranchesDecl, env: Environment) -> None:
    """Run the unfinished branches. The first failure ends the others and fails the state."""
    branch_input = env.stack.pop()
    runs = runs_to_continue(env, len(self.programs))
    open_runs = [(run, program) for run, program in zip(runs, self.programs, strict=True) if not run.finished]
    pool = BranchWorkerPool(workers_num=len(open_runs))
    workers: list[tuple[ProgramRun, BranchWorker]] = []
    for run, program in open_runs:
        frame = env.open_inner_frame()
        frame.states.reset(input_value=branch_input)
        set_program_run(frame, run)
        workers.append((run, BranchWorker(branch_worker_comm=pool, program=program, env=frame)))
    with time_of(env).resting(len(workers)):
        for _, worker in workers:
            worker.start()  # type: ignore[no-untyped-call]
        if workers:
            pool.wait()  # type: ignore[no-untyped-call]
    failure = pool.get_exit_event_details()
    if failure is not None:
        _stop_frames(worker.env for _, worker in workers)
    for run, worker in workers:
        if isinstance(worker.env.program_state(), ProgramEnded):
            run.finish(worker.env.states.get_input())
        env.close_frame(worker.env)
    if not env.is_running():
        raise EvaluationEndedError
    if failure is not None:
        raise FailureEventException(
            FailureEvent(
                env=env,
                error_name=error_name_of(failure.get("error")),
                event_type=HistoryEventType.ExecutionFailed,
                event_details=event_details(executionFailedEventDetails=failure),
            )
        )
    env.stack.append([run.output for run in runs])


def _stop_frames(frames: Iterable[Environment]) -> None:
    for frame in frames:
        frame.set_stop(stop_date=datetime.now(UTC), cause=None, error=None)


# --- inline Map -------------------------------------------------------------------------------------------------------
class _RunPool(JobPool):
    """Iterations that wait for a worker. Those that were finished before a redrive are closed from the start."""

    runs: Final[list[ProgramRun]]

    def __init__(self, job_program: Any, job_inputs: list[Any], runs: list[ProgramRun]) -> None:
        super().__init__(job_program=job_program, job_inputs=job_inputs)
        self.runs = runs
        self._open_jobs[:] = [job for job in self._open_jobs if not runs[job.job_index].finished]
        self._closed_jobs.update(
            JobClosed(job_index=index, job_output=run.output) for index, run in enumerate(runs) if run.finished
        )


def _run_iterations(self: InlineIterationComponent, env: Environment) -> None:
    """Run the iterations, at most MaxConcurrency at a time. The first failure ends the others."""
    eval_input = env.stack.pop()
    items: list[Any] = eval_input.input_items
    pool = _RunPool(self._get_iteration_program(), items, runs_to_continue(env, len(items)))
    unlimited = eval_input.max_concurrency == DEFAULT_MAX_CONCURRENCY_VALUE
    workers = len(items) if unlimited else min(len(items), eval_input.max_concurrency)
    with time_of(env).resting(min(workers, len(pool._open_jobs))):
        for _ in range(workers):
            self._launch_worker(env=env, eval_input=eval_input, job_pool=pool)
        pool.await_jobs()
    failure = pool.get_worker_exception()
    if failure is not None:
        _stop_frames(list(env._frames))
    if not env.is_running():
        raise EvaluationEndedError
    if failure is not None:
        raise failure
    env.stack.append([closed.job_output for closed in pool.get_closed_jobs()])


_evaluate_iteration: Final = IterationWorker._eval_job


def _run_iteration(self: IterationWorker, env: Environment, job: Job) -> None:
    """Evaluate one iteration. Those of a distributed Map are executions of their own and record no program run."""
    runs = self._job_pool.runs if isinstance(self._job_pool, _RunPool) else None
    if runs is not None:
        set_program_run(env, runs[job.job_index])
    _evaluate_iteration(self, env=env, job=job)
    if runs is not None and not isinstance(job.job_output, Exception):
        runs[job.job_index].finish(job.job_output)


def install() -> None:
    """Run branches and iterations so that a redrive can continue them."""
    replace(BranchesDecl, "_eval_body", _run_branches)
    replace(InlineIterationComponent, "_eval_body", _run_iterations)
    replace(IterationWorker, "_eval_job", _run_iteration)
