"""A task instance in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.sdk import Context

__all__ = ["in_words", "who"]


def who(context: Context) -> str:
    """The task instance, for log lines and for the cause of what is stopped in its name."""
    return in_words(context["ti"])


def in_words(instance: Any) -> str:
    """The same of any of Airflow's task instances, such as the one that a trigger has."""
    mapped = "" if instance.map_index in (None, -1) else f"[{instance.map_index}]"
    return f"task {instance.dag_id}.{instance.task_id}{mapped} of run {instance.run_id}, try {instance.try_number}"
