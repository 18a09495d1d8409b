"""A task instance in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow.sdk import Context

__all__ = ["who"]


def who(context: Context) -> str:
    """The task instance, for log lines and for the cause of what is stopped in its name."""
    instance = context["ti"]
    mapped = "" if instance.map_index in (None, -1) else f"[{instance.map_index}]"
    return f"task {instance.dag_id}.{instance.task_id}{mapped} of run {instance.run_id}, try {instance.try_number}"
