"""Decides, by its task's state, whether an execution is stopped when its trigger is cancelled or its worker signalled.

Airflow cancels the trigger of a deferred task whenever the task no longer waits for it, and does not say why: a user
marked or cleared the task, the DAG run timed out, or another triggerer took over. In a worker, SIGTERM comes for the
same reasons, or because the worker is drained; then the task's state is what it was.
"""

import re
import sys
from collections.abc import Callable
from typing import Any, Final

from airflow.sdk.exceptions import AirflowRuntimeError, AirflowTaskTimeout

from stepbridge.core.failures import KILLED, STOPPED
from stepbridge.core.start_decision import CLEARED

WAITING_TRY_KEY: Final = "waiting_try"
"""The XCom that says which try of a task waits in the triggerer; earlier versions wrote it too."""

_STOPS: Final = {
    "failed": "marked as failed",
    "skipped": "skipped by the timeout of its DAG run, or by a user",
    "upstream_failed": "marked as failed upstream",
    "removed": "removed from its DAG",
    "up_for_retry": "failed while it waited, and will be tried again",
}
_NOT_ENDED: Final = frozenset({"running", "deferred", "up_for_retry", "success"})
"""The states of a task that nobody has ended, or that somebody called done, while a worker had it."""


def reason_by_task_state(task: Any) -> tuple[bool, str]:
    """``reason_to_stop`` for a trigger's ``task_instance``, whose present state Airflow is asked for in a triggerer.

    Raises AirflowRuntimeError when Airflow does not answer.
    """
    from airflow.sdk.execution_time.xcom import XCom

    state, waiting_try = _state(task), None
    if state == "deferred":
        one = {"dag_id": task.dag_id, "run_id": task.run_id, "map_index": task.map_index}
        waiting_try = XCom.get_one(key=WAITING_TRY_KEY, task_id=task.task_id, **one)
    return reason_to_stop(state, task.try_number, waiting_try)


def kill_reason(task: Any) -> Callable[[], str]:
    """A function for ``StopThread``, to be made in ``on_kill``: what was done to the task; empty for a drained worker.

    Empty, too, if Airflow does not answer: then a mark is left to the listener, and a clear to the task's next try.
    """
    if isinstance(sys.exc_info()[1], AirflowTaskTimeout):
        return lambda: "past its execution_timeout"
    return lambda: _reason_by_state(task)


def _reason_by_state(task: Any) -> str:
    try:
        state = _state(task)
    except (AirflowRuntimeError, OSError, EOFError):
        return ""
    return "" if state in _NOT_ENDED else _STOPS.get(state or "", f"{CLEARED}, while it ran")


def _state(task: Any) -> str | None:
    # Imported here, so that parsing a DAG file does not import the task runner.
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    one = {"dag_id": task.dag_id, "map_index": task.map_index}
    states = RuntimeTaskInstance.get_task_states(task_ids=[task.task_id], run_ids=[task.run_id], **one)
    mapped = task.map_index is not None and task.map_index >= 0
    state: str | None = states.get(task.run_id, {}).get(f"{task.task_id}_{task.map_index}" if mapped else task.task_id)
    return state


def reason_to_stop(task_state: str | None, own_try: int, waiting_try: int | None) -> tuple[bool, str]:
    """Whether the execution is stopped, now that its task is in ``task_state``, and why or why not.

    A cleared task has no state, or a state on the way to its next try. If the next try waits already, ``waiting_try``
    differs from ``own_try``; if it is the same, another triggerer took the trigger over.
    """
    if task_state == "deferred" and waiting_try == own_try:
        return False, "its task still waits, and another triggerer watches it"
    if task_state == "success":
        return False, "its task was marked as a success, which says nothing against the work"
    return True, _STOPS.get(task_state or "", f"{CLEARED}, while it waited")


def was_stopped_for_another_try(error: str, cause: str, run_id: str, own_name: str) -> bool:
    """Whether stepbridge stopped an execution for a task instance of the run other than ``own_name``.

    The trigger of a wait that was cleared is cancelled some time later; by then the next try may wait for the same
    execution.
    """
    if error not in (KILLED, STOPPED) or own_name in cause:
        return False
    return re.search(rf" of run {re.escape(run_id)}, try \d", cause) is not None
