"""A task instance in words, and what it writes down for others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from airflow.sdk import Context

__all__ = ["EXECUTION_KEY", "describe_instance", "describe_task", "record_execution"]

EXECUTION_KEY: Final = "stepbridge_execution"
"""The XCom in which a task says which execution it is about to start or waits for, and how to reach it.

``{"execution_arn", "aws_conn_id", "region_name"}``, written before the call that starts it: whoever finds the task
ended can stop the execution without asking the task.
"""


def record_execution(context: Context, execution_arn: str, aws_conn_id: str | None, region_name: str | None) -> None:
    """Write down what the task is about to start or waits for, under ``EXECUTION_KEY``."""
    record = {"execution_arn": execution_arn, "aws_conn_id": aws_conn_id, "region_name": region_name}
    context["ti"].xcom_push(key=EXECUTION_KEY, value=record)


def describe_task(context: Context) -> str:
    """The task instance, for log lines and for the cause of what is stopped in its name."""
    return describe_instance(context["ti"])


def describe_instance(instance: Any) -> str:
    """The same of any of Airflow's task instances, such as the one that a trigger has."""
    mapped = "" if instance.map_index in (None, -1) else f"[{instance.map_index}]"
    return f"task {instance.dag_id}.{instance.task_id}{mapped} of run {instance.run_id}, try {instance.try_number}"
