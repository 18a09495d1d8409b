"""A task instance in words, and the XCom in which it records its execution."""

import hashlib
from typing import Any, Final

from airflow.sdk import Context

EXECUTION_KEY: Final = "stepbridge_execution"
"""The XCom that says which execution a task is about to start or waits for, and through which connection.

``{"execution_arn", "aws_conn_id", "region_name"}``, written before the call that starts it, so that the listener can
stop the execution when the task has ended. Earlier versions wrote it in the same form.
"""


def record_execution(context: Context, execution_arn: str, aws_conn_id: str | None, region_name: str | None) -> None:
    """Record the execution that the task is about to start or waits for, under ``EXECUTION_KEY``."""
    record = {"execution_arn": execution_arn, "aws_conn_id": aws_conn_id, "region_name": region_name}
    context["ti"].xcom_push(key=EXECUTION_KEY, value=record)


def save_for_ever(context: Context, key: str, value: dict[str, Any]) -> None:
    """Keep ``value`` in the task instance's state store, over tries and clears, until Airflow deletes the run."""
    from airflow.sdk.execution_time.context import NEVER_EXPIRE  # here, so that parsing a DAG file stays light

    context["task_state_store"].set(key, value, retention=NEVER_EXPIRE)


def describe_task(context: Context) -> str:
    """The task instance, for log lines and for the cause of a stop. Causes of stops are matched against it."""
    return describe_instance(context["ti"])


def describe_instance(instance: Any) -> str:
    """The same for any of Airflow's task instances, such as a trigger's."""
    return name_instance(instance.dag_id, instance.task_id, instance.run_id, instance.map_index, instance.try_number)


def name_instance(dag_id: str, task_id: str, run_id: str, map_index: int | None, try_number: int) -> str:
    """The same for the task instance with these values."""
    mapped = "" if map_index in (None, -1) else f"[{map_index}]"
    return f"task {dag_id}.{task_id}{mapped} of run {run_id}, try {try_number}"


def redrive_token(execution_arn: str, task_instance: str) -> str:
    """The client token of a redrive in the name of a task instance: if the answer is lost, it redrives only once."""
    return hashlib.sha256(f"{execution_arn} {task_instance}".encode()).hexdigest()
