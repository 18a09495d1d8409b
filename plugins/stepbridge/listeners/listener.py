"""The listener that Airflow calls when task instances are marked and when DAG runs fail.

Seen with Airflow 3.3.2: a user's mark calls the task instance methods in the API server, without a previous state, and
the run's method if the run was marked. The scheduler calls the run's method when a run timed out or its tasks failed. A
worker calls the task instance methods with the previous state. Nothing is called for a clear. See docs/stops.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.listeners import hookimpl

from stepbridge.listeners.delayed_checks import DelayedChecks
from stepbridge.listeners.last_words import log_last_words
from stepbridge.listeners.stop_decision import EndNotice

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun

TIMED_OUT = "timed_out"
FAILED_BY_ITSELF = ("task_failure", "all_tasks_deadlocked")


class StopListener:
    """Queues a notice for each mark and each failed run; ``checks`` are this process's own by default."""

    def __init__(self, checks: DelayedChecks | None = None) -> None:
        self._checks = checks or DelayedChecks(_stop_abandoned_executions)

    @hookimpl
    def on_task_instance_failed(self, previous_state: object, task_instance: Any, error: object) -> None:
        """A user marked it as failed; for a task that failed by itself its operator has done what is needed."""
        if previous_state is None:
            self._queue_mark(task_instance, "failed")
        else:
            log_last_words(task_instance, error)

    @hookimpl
    def on_task_instance_skipped(self, previous_state: object, task_instance: Any) -> None:
        """A user marked it as skipped."""
        if previous_state is None:
            self._queue_mark(task_instance, "skipped")

    @hookimpl
    def on_dag_run_failed(self, dag_run: DagRun, msg: str) -> None:
        """It timed out, or a user marked it; or its tasks failed, which skips the others if the DAG fails fast."""
        if msg in FAILED_BY_ITSELF:
            if getattr(dag_run.dag, "fail_fast", False):
                why = "skipped, since another task of its run failed and the DAG fails fast"
                self._checks.add(EndNotice(dag_run.dag_id, dag_run.run_id, why, skipped_only=True))
            return
        why = "ended by the timeout of its DAG run" if msg == TIMED_OUT else "ended: its run was marked as failed"
        self._checks.add(EndNotice(dag_run.dag_id, dag_run.run_id, why))

    def _queue_mark(self, instance: Any, state: str) -> None:
        key = (instance.task_id, -1 if instance.map_index is None else instance.map_index)
        self._checks.add(EndNotice(instance.dag_id, instance.run_id, f"marked as {state}", (key,)))


def _stop_abandoned_executions(notice: EndNotice) -> bool:
    # Imported here, so that a worker, which has no notices, does not import Airflow's database models.
    from stepbridge.listeners.stop_executions import stop_abandoned_executions

    return stop_abandoned_executions(notice)
