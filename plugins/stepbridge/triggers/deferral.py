"""How soon after a deferral a trigger may fire."""

from __future__ import annotations

from typing import Final

from airflow.sdk.configuration import conf

__all__ = ["settle_seconds"]

MARGIN_SECONDS: Final = 2.0


def settle_seconds() -> float:
    """Seconds from a deferral to when its trigger fires at the earliest; asked for in the worker that defers.

    A worker may notice up to ``[workers] min_heartbeat_interval`` late that its task was deferred; a task that is
    queued again before that counts as failed (seen with Airflow 3.3.2, see ExecutionTrigger).
    """
    return float(conf.getint("workers", "min_heartbeat_interval")) + MARGIN_SECONDS
