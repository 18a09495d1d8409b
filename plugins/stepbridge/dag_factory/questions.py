"""Who is told that a run waits for somebody's approval: those whom the card's ``notify`` names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import BaseNotifier

from stepbridge.dag_factory.notifications import told

if TYPE_CHECKING:
    from airflow.sdk import Context

__all__ = ["QuestionNotifier"]


class QuestionNotifier(BaseNotifier):
    """Tells ``target`` what an ApprovalOperator asks, and where it is answered.

    Airflow calls it when the task asks; a target that can't be told is an error in the task's log, and it asks all
    the same.
    """

    def __init__(self, target: str) -> None:
        super().__init__()
        self.target = target

    def notify(self, context: Context) -> None:
        """Raises what the target's notifier raises."""
        task = context["task"]
        log_url = getattr(context["ti"], "log_url", None)
        where = "Answer in Airflow, under Required Actions" + (f": {log_url}" if log_url else "")
        told(self.target, str(getattr(task, "subject", "")), f"{getattr(task, 'body', '')}\n\n{where}\n", context)
