"""Defers a task until its execution has ended."""

from datetime import timedelta
from typing import Any, Final

from airflow.sdk import Context
from airflow.sdk.bases.operator import TRIGGER_FAIL_REPR, TriggerFailureReason
from airflow.sdk.configuration import conf

from stepbridge.triggers.execution import ExecutionTrigger
from stepbridge.triggers.stop_reasons import WAITING_TRY_KEY

MARGIN_SECONDS: Final = 2.0


def defer_until_end(task: Any, context: Context, execution_arn: str, queue_url: str, timeout_seconds: float) -> None:
    """Leave the worker, by TaskDeferred. ``task.resume`` is called with ExecutionTrigger's event, or past the timeout.

    ``task`` is an operator with ``aws_conn_id`` and ``region_name``.
    """
    context["ti"].xcom_push(key=WAITING_TRY_KEY, value=context["ti"].try_number)
    trigger = ExecutionTrigger(
        execution_arn=execution_arn,
        aws_conn_id=task.aws_conn_id,
        region_name=task.region_name,
        settle_seconds=settle_seconds(),
        events_queue_url=queue_url,
    )
    task.defer(trigger=trigger, method_name="resume", timeout=timedelta(seconds=timeout_seconds))


def deadline_has_passed(next_method: str, next_kwargs: dict[str, Any] | None) -> bool:
    """Whether Airflow resumes the task because the deferral's timeout is over, and not for a trigger's event."""
    error = (next_kwargs or {}).get("error")
    return next_method == TRIGGER_FAIL_REPR and error == TriggerFailureReason.TRIGGER_TIMEOUT


def settle_seconds() -> float:
    """ExecutionTrigger's argument, read in the worker that defers: that is how late it may notice the deferral."""
    return float(conf.getint("workers", "min_heartbeat_interval")) + MARGIN_SECONDS
