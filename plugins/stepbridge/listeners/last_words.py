"""The end of a failed task's log: the short text of its error below Airflow's frames, and whether it is tried again."""

from datetime import timedelta
from typing import Any

from airflow.sdk import RetryAction, RetryDecision

from stepbridge.core.run_report.timeline import duration


def log_last_words(task_instance: Any, error: object) -> None:
    """Log them for an error of stepbridge's; called in the worker, after Airflow has logged the exception."""
    if not isinstance(error, BaseException) or type(error).__module__.partition(".")[0] != "stepbridge":
        return
    log = task_instance.task.log
    log.info("::endgroup::")  # Airflow's "Post Execute", which its UI shows folded
    text, remedy = str(getattr(error, "summary", error)), getattr(error, "remedy", "")
    found = text.removesuffix(f"; {remedy}")  # what to do gets a line of its own: Airflow's page does not wrap
    log.error("%s\n%s", text if found == text else f"{found}\n  what to do: {remedy}", next_try(task_instance, error))


def next_try(task_instance: Any, error: BaseException) -> str:
    """Whether Airflow tries the task again, and when or why not."""
    task, tries, most = task_instance.task, task_instance.try_number, task_instance.max_tries
    policy = getattr(task, "retry_policy", None)
    decision = policy.evaluate(error, tries, most) if policy else RetryDecision.default()
    if task_instance.state != "up_for_retry":
        last = "that was its last try" if tries > 1 else ""
        why = decision.reason if decision.action is RetryAction.FAIL else last
        return "  not tried again by Airflow" + (f": {why}" if why else "")
    growth, longest = task.retry_exponential_backoff or 1.0, task.max_retry_delay or timedelta.max
    delay = decision.retry_delay or min(task.retry_delay * growth ** min(tries - 1, 20), longest)
    minutes, rest = divmod(delay.total_seconds(), 60)
    span = duration(delay.total_seconds()) if rest or not minutes else f"{minutes:.0f} minute" + "s" * (minutes > 1)
    return f"  tried again by Airflow in {span} (try {tries + 1} of {most + 1})"
