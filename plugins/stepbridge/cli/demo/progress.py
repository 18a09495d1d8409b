"""Shows one DAG run until it ends: each task, and each stage of the execution that it started."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

from stepbridge.cli.local_site.airflow_client import AirflowClient
from stepbridge.errors import StepbridgeError

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient

__all__ = ["RunProgress", "RunTimeoutError", "Step", "follow_run"]

TASKS = ("build_image", "upload_scripts", "start_execution", "wait_for_execution")
STAGE_STATES = ("Preprocessing", "Inference", "Postprocessing")
FINAL_RUN_STATES = ("success", "failed")


class RunTimeoutError(StepbridgeError):
    """A DAG run did not end in time."""


@dataclass(frozen=True)
class Step:
    """A task or a stage: its state in Airflow's or Step Functions' word, and how long it has taken, in seconds."""

    name: str
    state: str
    seconds: float | None = None
    indent: bool = False


@dataclass(frozen=True)
class RunProgress:
    """The state of the run and of its steps at one poll."""

    run_state: str
    steps: tuple[Step, ...]

    @property
    def ended(self) -> bool:
        return self.run_state in FINAL_RUN_STATES


def follow_run(
    airflow: AirflowClient,
    step_functions: SFNClient,
    dag_id: str,
    run_id: str,
    console: Console,
    check: Callable[[], None],
    timeout_seconds: float,
) -> RunProgress:
    """Show the run's progress until it has ended; its last state. Raises RunTimeoutError after ``timeout_seconds``.

    On a terminal the table is redrawn in place; elsewhere each change is a line. ``check`` is called at each poll and
    may raise to give up, for example because Airflow died.
    """
    started = time.monotonic()
    seen: dict[str, str] = {}
    with Live(console=console, refresh_per_second=8, transient=False) as live:
        while True:
            check()
            progress = _poll(airflow, step_functions, dag_id, run_id)
            elapsed = time.monotonic() - started
            if console.is_terminal:
                live.update(_table(progress, elapsed))
            else:
                _print_changes(console, progress, seen, elapsed)
            if progress.ended:
                return progress
            if elapsed > timeout_seconds:
                raise RunTimeoutError(f"run {run_id} of {dag_id}", f"still {progress.run_state} after {elapsed:.0f} s")
            time.sleep(0.3)


def _poll(airflow: AirflowClient, step_functions: SFNClient, dag_id: str, run_id: str) -> RunProgress:
    run_state = airflow.dag_run(dag_id, run_id)["state"]
    instances = {instance["task_id"]: instance for instance in airflow.task_instances(dag_id, run_id)}
    steps = [_task_step(name, instances[name]) for name in TASKS if name in instances]
    execution_arn = airflow.xcom(dag_id, run_id, "start_execution")
    if execution_arn:
        stages = _stage_steps(step_functions, execution_arn)
        after_start = next(i for i, step in enumerate(steps) if step.name == "start_execution") + 1
        steps[after_start:after_start] = stages
    return RunProgress(run_state, tuple(steps))


def _task_step(name: str, instance: Mapping[str, Any]) -> Step:
    state = instance["state"] or "waiting"
    if not instance["start_date"]:
        return Step(name, state)
    begin = datetime.fromisoformat(instance["start_date"])
    end = datetime.fromisoformat(instance["end_date"]) if instance["end_date"] else datetime.now(UTC)
    return Step(name, state, max(0.0, (end - begin).total_seconds()))


def _stage_steps(step_functions: SFNClient, execution_arn: str) -> list[Step]:
    """One step per stage that was entered, from the execution's history."""
    entered: dict[str, datetime] = {}
    left: dict[str, tuple[str, datetime]] = {}
    for page in step_functions.get_paginator("get_execution_history").paginate(executionArn=execution_arn):
        for event in page["events"]:
            match event["type"]:
                case "TaskStateEntered":
                    entered[event["stateEnteredEventDetails"]["name"]] = event["timestamp"]
                case "TaskStateExited":
                    left[event["stateExitedEventDetails"]["name"]] = ("done", event["timestamp"])
    steps = []
    for name in STAGE_STATES:
        if name in entered:
            state, end = left.get(name, ("running", datetime.now(UTC)))
            steps.append(Step(name, state, max(0.0, (end - entered[name]).total_seconds()), indent=True))
    return steps


def _table(progress: RunProgress, elapsed: float) -> Table:
    colours = {"success": "green", "done": "green", "failed": "red", "running": "yellow", "deferred": "yellow"}
    table = Table(title=f"run {progress.run_state}, {elapsed:.0f} s", title_justify="left", box=None)
    table.add_column("step")
    table.add_column("state")
    table.add_column("seconds", justify="right")
    for step in progress.steps:
        seconds = "" if step.seconds is None else f"{step.seconds:.1f}"
        colour = colours.get(step.state, "")
        state = f"[{colour}]{step.state}[/]" if colour else step.state
        table.add_row(("  └ " if step.indent else "") + step.name, state, seconds)
    return table


def _print_changes(console: Console, progress: RunProgress, seen: dict[str, str], elapsed: float) -> None:
    for step in progress.steps:
        if seen.get(step.name) != step.state:
            seen[step.name] = step.state
            took = (
                ""
                if step.seconds is None or step.state not in ("success", "done", "failed")
                else f" in {step.seconds:.1f} s"
            )
            console.print(f"  {elapsed:6.1f} s  {step.name}: {step.state}{took}", highlight=False)
