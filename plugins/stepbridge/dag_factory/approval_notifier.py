"""Notifies those in a card's ``notify`` that a run waits for somebody's approval."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import BaseNotifier

from stepbridge.dag_factory.notifications import send_notification

if TYPE_CHECKING:
    from airflow.sdk import Context

__all__ = ["ApprovalNotifier"]


class ApprovalNotifier(BaseNotifier):
    """Sends ``target`` the question of an ApprovalOperator, and where to answer it.

    Airflow calls it when the task asks. If the notification fails, that is an error in the task's log, and the task
    waits for an answer all the same.
    """

    def __init__(self, target: str) -> None:
        super().__init__()
        self.target = target

    def notify(self, context: Context) -> None:
        """Raises what the target's notifier raises."""
        task = context["task"]
        log_url = getattr(context["ti"], "log_url", None)
        where = "Answer in Airflow, under Required Actions" + (f": {log_url}" if log_url else "")
        send_notification(
            self.target, str(getattr(task, "subject", "")), f"{getattr(task, 'body', '')}\n\n{where}\n", context
        )
