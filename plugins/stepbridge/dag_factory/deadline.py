"""A card's ``deadline``: Airflow's DeadlineAlert on the model's runs."""

import asyncio
import logging
from datetime import timedelta
from typing import Any, Final

from airflow.sdk.definitions.callback import AsyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference

from stepbridge.core.model_card import ModelCard
from stepbridge.dag_factory.notifications import send_notification

log = logging.getLogger(__name__)

CALLBACK: Final = f"{__name__}.deadline_missed"


def deadline_alert(card: ModelCard) -> DeadlineAlert | None:
    """The alert, or None. It counts from when a run was queued, so that a backfill of an old day has its time too."""
    if card.deadline is None:
        return None
    return DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=timedelta(seconds=card.deadline),
        callback=AsyncCallback(CALLBACK, {"model": card.name, "seconds": card.deadline, "targets": list(card.notify)}),
        name=f"{card.name}: {card.deadline} s",
    )


async def deadline_missed(model: str, seconds: int, targets: list[str], context: dict[str, Any] | None = None) -> None:
    """Called by Airflow, in a triggerer, when a run has not ended at its deadline. It notifies; the run goes on.

    Raises the first notifier's error, after all targets were tried. Airflow's database holds this function's import
    path for runs that wait for their deadline, so it stays.
    """
    run_id = ((context or {}).get("dag_run") or {}).get("dag_run_id", "?")
    subject = f"{model} missed its deadline in run {run_id}"
    message = f"{subject}\n\nIt was queued {seconds} s ago and is still under way. Nothing was stopped.\n"
    log.error("%s", message)
    calls = (asyncio.to_thread(send_notification, target, subject, message, context or {}) for target in targets)
    results = await asyncio.gather(*calls, return_exceptions=True)
    for error in results:
        if isinstance(error, BaseException):
            raise error
