"""Asks Airflow, from within a triggerer, what became of the task whose trigger is cancelled."""

from __future__ import annotations

from typing import Any

from stepbridge.triggers.stop_reasons import WAITING_TRY_KEY, reason_to_stop

__all__ = ["reason_by_task_state"]


def reason_by_task_state(task: Any) -> tuple[bool, str]:
    """Whether the execution is stopped, and why, by the present state of a trigger's ``task_instance``.

    Raises AirflowRuntimeError when Airflow does not answer.
    """
    # Imported here, so that parsing a DAG file does not import the task runner.
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
    from airflow.sdk.execution_time.xcom import XCom

    states = RuntimeTaskInstance.get_task_states(
        dag_id=task.dag_id, task_ids=[task.task_id], run_ids=[task.run_id], map_index=task.map_index
    )
    mapped = task.map_index is not None and task.map_index >= 0
    state = states.get(task.run_id, {}).get(f"{task.task_id}_{task.map_index}" if mapped else task.task_id)
    waiting_try = None
    if state == "deferred":
        waiting_try = XCom.get_one(
            key=WAITING_TRY_KEY,
            dag_id=task.dag_id,
            task_id=task.task_id,
            run_id=task.run_id,
            map_index=task.map_index,
        )
    return reason_to_stop(state, task.try_number, waiting_try)
