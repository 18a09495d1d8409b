"""The hooks that Airflow calls when task instances are marked and when DAG runs fail.

Seen with Airflow 3.3.2: a user's mark calls the task instance hooks in the API server, without a previous state, and
the hook of the run if the run was marked; the scheduler calls the hook of the run when it timed out or its tasks
failed; a worker calls the task instance hooks with the previous state. Nothing is told of a clear. Each hook only notes
what it was told; a thread of the same process looks at it some seconds later.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.listeners import hookimpl

from stepbridge.listeners.notes import NOTES
from stepbridge.listeners.verdict import Ended

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun

__all__ = ["RunEnds"]

TIMED_OUT = "timed_out"
FAILED_BY_ITSELF = ("task_failure", "all_tasks_deadlocked")


class RunEnds:
    """The listener."""

    @hookimpl
    def on_task_instance_failed(self, previous_state: object, task_instance: Any) -> None:
        """A user marked it as failed; what failed by itself has been told its execution by its own operator."""
        if previous_state is None:
            _note_mark(task_instance, "failed")

    @hookimpl
    def on_task_instance_skipped(self, previous_state: object, task_instance: Any) -> None:
        """A user marked it as skipped."""
        if previous_state is None:
            _note_mark(task_instance, "skipped")

    @hookimpl
    def on_dag_run_failed(self, dag_run: DagRun, msg: str) -> None:
        """It timed out, or a user marked it; or its tasks failed, which skips the others if the DAG fails fast."""
        if msg in FAILED_BY_ITSELF:
            if getattr(dag_run.dag, "fail_fast", False):
                why = "skipped, since another task of its run failed and the DAG fails fast"
                NOTES.add(Ended(dag_run.dag_id, dag_run.run_id, why, skipped_only=True))
            return
        why = "ended by the timeout of its DAG run" if msg == TIMED_OUT else "ended: its run was marked as failed"
        NOTES.add(Ended(dag_run.dag_id, dag_run.run_id, why))


def _note_mark(instance: Any, state: str) -> None:
    key = (instance.task_id, -1 if instance.map_index is None else instance.map_index)
    NOTES.add(Ended(instance.dag_id, instance.run_id, f"marked as {state}", (key,)))
