"""The end of a failed task's log: the short text of its error below Airflow's frames, and whether it is tried again."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import RetryAction, RetryDecision

from stepbridge.core.run_report import duration

__all__ = ["log_last_words"]


def log_last_words(task_instance: Any, error: object) -> None:
    """Log them for an error of stepbridge's; called in the worker, after Airflow has logged the exception."""
    if not isinstance(error, BaseException) or type(error).__module__.partition(".")[0] != "stepbridge":
        return
    log = task_instance.task.log
    log.info("::endgroup::")  # Airflow's "Post Execute", which its UI shows folded
    log.error("%s\n%s", getattr(error, "summary", error), next_try(task_instance, error))


def next_try(task_instance: Any, error: BaseException) -> str:
    """Whether Airflow tries the task again, and when or why not."""
    task, tries, most = task_instance.task, task_instance.try_number, task_instance.max_tries
    policy = getattr(task, "retry_policy", None)
    decision = policy.evaluate(error, tries, most) if policy else RetryDecision.default()
    if task_instance.state != "up_for_retry":
        why = decision.reason if decision.action is RetryAction.FAIL else "that was its last try" if tries > 1 else ""
        return "  not tried again by Airflow" + (f": {why}" if why else "")
    delay = decision.retry_delay
    if delay is None:
        growth = task.retry_exponential_backoff or 1.0
        longest = (task.max_retry_delay or timedelta(days=1)).total_seconds()
        delay = timedelta(seconds=min(task.retry_delay.total_seconds() * growth ** (tries - 1), longest))
    return f"  tried again by Airflow in {_minutes(delay)} (try {tries + 1} of {most + 1})"


def _minutes(delay: timedelta) -> str:
    minutes, rest = divmod(delay.total_seconds(), 60)
    return (
        f"{minutes:.0f} minute{'' if minutes == 1 else 's'}" if minutes and not rest else duration(minutes * 60 + rest)
    )
