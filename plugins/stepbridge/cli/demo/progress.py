"""Shows one DAG run until it ends: each task, and each stage of the execution that it started."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Column, Table

from stepbridge.aws.step_functions import StepFunctions
from stepbridge.cli.local_site.airflow_client import AirflowClient
from stepbridge.cli.local_site.site import SiteError
from stepbridge.core.run_report.history import read_history

TASKS = ("build_image", "upload_scripts", "start_execution", "wait_for_execution")
FINAL_RUN_STATES = ("success", "failed")
COLOURS = {"success": "green", "done": "green", "failed": "red", "running": "yellow", "deferred": "yellow"}


@dataclass(frozen=True)
class Step:
    """A task or a stage: its state in Airflow's or Step Functions' word, and how long it has taken, in seconds."""

    name: str
    state: str
    seconds: float | None = None
    is_stage: bool = False


def follow_run(
    airflow: AirflowClient,
    step_functions: StepFunctions,
    dag_id: str,
    run_id: str,
    console: Console,
    check: Callable[[], None],
    timeout_seconds: float,
) -> str:
    """Show the run's progress until it has ended; its last state. Raises SiteError after ``timeout_seconds``.

    On a terminal the table is redrawn in place; elsewhere each change is a line. ``check`` is called at each poll and
    may raise to give up, for example because Airflow died.
    """
    started = time.monotonic()
    printed: dict[str, str] = {}
    with Live(console=console, refresh_per_second=8, transient=False) as live:
        while True:
            check()
            run_state: str = airflow.dag_run(dag_id, run_id)["state"]
            steps = _steps(airflow, step_functions, dag_id, run_id)
            elapsed = time.monotonic() - started
            if console.is_terminal:
                live.update(_table(run_state, steps, elapsed))
            else:
                _print_changes(console, steps, printed, elapsed)
            if run_state in FINAL_RUN_STATES:
                return run_state
            if elapsed > timeout_seconds:
                raise SiteError(f"run {run_id} of {dag_id}", f"still {run_state} after {elapsed:.0f} s")
            time.sleep(0.3)


def _steps(airflow: AirflowClient, step_functions: StepFunctions, dag_id: str, run_id: str) -> list[Step]:
    """The tasks in their order, the stages of the execution after the task that started it."""
    instances = {instance["task_id"]: instance for instance in airflow.task_instances(dag_id, run_id)}
    steps = []
    for task_id in TASKS:
        if task_id in instances:
            steps.append(_task_step(task_id, instances[task_id]))
        if task_id == "start_execution" and (arn := airflow.xcom(dag_id, run_id, task_id)):
            steps.extend(_stage_steps(step_functions, arn))
    return steps


def _task_step(name: str, instance: Mapping[str, Any]) -> Step:
    times = (instance["start_date"], instance["end_date"])
    started, ended = (datetime.fromisoformat(text) if text else None for text in times)
    return Step(name, instance["state"] or "waiting", _seconds(started, ended))


def _stage_steps(step_functions: StepFunctions, execution_arn: str) -> list[Step]:
    """One step per stage that was entered, as its last attempt is."""
    steps = {}
    for attempt in read_history(step_functions.history(execution_arn)).attempts:
        state = "running" if attempt.ended_at is None else "done" if attempt.succeeded else "failed"
        seconds = _seconds(attempt.scheduled_at, attempt.ended_at)
        steps[attempt.state_name] = Step(attempt.state_name, state, seconds, is_stage=True)
    return list(steps.values())


def _seconds(started: datetime | None, ended: datetime | None) -> float | None:
    return None if started is None else max(0.0, ((ended or datetime.now(UTC)) - started).total_seconds())


def _table(run_state: str, steps: list[Step], elapsed: float) -> Table:
    columns = ("step", "state", Column("seconds", justify="right"))
    table = Table(*columns, title=f"run {run_state}, {elapsed:.0f} s", title_justify="left", box=None)
    for step in steps:
        colour = COLOURS.get(step.state)
        state = f"[{colour}]{step.state}[/]" if colour else step.state
        seconds = "" if step.seconds is None else f"{step.seconds:.1f}"
        table.add_row(("  └ " if step.is_stage else "") + step.name, state, seconds)
    return table


def _print_changes(console: Console, steps: list[Step], printed: dict[str, str], elapsed: float) -> None:
    for step in steps:
        if printed.get(step.name) != step.state:
            printed[step.name] = step.state
            has_ended = step.seconds is not None and step.state in ("success", "done", "failed")
            took = f" in {step.seconds:.1f} s" if has_ended else ""
            console.print(f"  {elapsed:6.1f} s  {step.name}: {step.state}{took}")
