"""Notifications about failures and questions, through Airflow's own notifiers and connections.

SNS goes through ``aws_default``, e-mail through ``smtp_default``, Slack through ``slack_api_default``. The notifiers
are imported when there is something to send: some of them take half a second, too long for each parse of a DAG file.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from airflow.sdk import BaseNotifier

from stepbridge.core.notification_targets import Channel, channel_of

if TYPE_CHECKING:
    from airflow.sdk import Context

SUBJECT_LENGTH: Final = 100  # https://docs.aws.amazon.com/sns/latest/api/API_Publish.html, printable ASCII only
MESSAGE_LENGTH: Final = 30_000  # SNS takes 256 KiB, Slack 40,000 characters

_PROVIDERS: Final[dict[Channel, str]] = {"sns": "amazon", "email": "smtp", "slack": "slack"}


def require_notifiers(targets: Sequence[str]) -> None:
    """Return if every target can be notified. Raises ValueError with all targets that lack Airflow's provider."""
    needed = {target: _PROVIDERS[channel_of(target)] for target in targets}
    missing = [
        f"{target!r} in notify needs apache-airflow-providers-{provider}, which is not installed"
        for target, provider in needed.items()
        if find_spec(f"airflow.providers.{provider}") is None
    ]
    if missing:
        raise ValueError(f"{'; '.join(missing)}: install it beside Airflow, or notify by SNS or e-mail")


@dataclass(frozen=True)
class Notification:
    """A task's ``on_failure_callback``: notifies ``target`` which task failed and why."""

    target: str

    def __call__(self, context: Mapping[str, Any]) -> None:
        """Called by Airflow in the worker when a task has failed for good."""
        instance = context["ti"]
        error = context.get("exception") or "it ended without an error of its own: its process was killed"
        subject = f"{instance.dag_id}.{instance.task_id} failed in run {instance.run_id}"
        log_url = getattr(instance, "log_url", None)
        message = f"{subject}\n\n{error}\n" + (f"\nlog: {log_url}\n" if log_url else "")
        send_notification(self.target, subject, message, context)


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
        task: Any = context["task"]
        log_url = getattr(context["ti"], "log_url", None)
        where = "Answer in Airflow, under Required Actions" + (f": {log_url}" if log_url else "")
        send_notification(self.target, task.subject, f"{task.body or ''}\n\n{where}\n", context)


def send_notification(target: str, subject: str, message: str, context: Mapping[str, Any]) -> None:
    """Notify one target. Raises what the notifier raises.

    The notifier's templates are not rendered: a message holds what scripts printed, and that is no template.
    """
    message = message if len(message) <= MESSAGE_LENGTH else message[:MESSAGE_LENGTH] + "…"
    notifier: Any  # the providers' notifiers have no types
    match channel_of(target):
        case "sns":
            from airflow.providers.amazon.aws.notifications.sns import SnsNotifier

            line = subject.encode("ascii", "replace").decode()[:SUBJECT_LENGTH]
            notifier = SnsNotifier(target_arn=target, subject=line, message=message, region_name=target.split(":")[3])
        case "email":
            from airflow.providers.smtp.notifications.smtp import SmtpNotifier

            notifier = SmtpNotifier(to=target, subject=subject, html_content=f"<pre>{html.escape(message)}</pre>")
        case "slack":
            slack = import_module("airflow.providers.slack.notifications.slack")
            notifier = slack.SlackNotifier(channel=target.removeprefix("slack:"), text=message)
    notifier.notify(context)
