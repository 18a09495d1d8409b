"""Why a trigger is cancelled, from the state that its task is in by then. Pure.

Airflow cancels the trigger of a deferred task whenever the task no longer waits for it, and tells nobody why: a user
marked or cleared the task, the DAG run timed out, or another triggerer took over what this one seemed to have lost.
"""

from __future__ import annotations

import re
from typing import Final

from stepbridge.core.failures import KILLED, STOPPED

__all__ = ["KILLED", "STOPPED", "STOP_ERRORS", "WAITING_TRY_KEY", "reason_to_stop", "was_stopped_for_another_try"]

WAITING_TRY_KEY: Final = "waiting_try"
"""The XCom in which a wait says which of its tries waits in the triggerer."""

STOP_ERRORS: Final = (KILLED, STOPPED)

_GOES_ON: Final = {
    "success": "its task was marked as a success, which says nothing against the work",
}
_STOPS: Final = {
    "failed": "marked as failed",
    "skipped": "skipped by the timeout of its DAG run, or by a user",
    "upstream_failed": "marked as failed upstream",
    "removed": "removed from its DAG",
    "up_for_retry": "failed while it waited, and will be tried again",
}
_CLEARED: Final = "cleared, or its run was, while it waited"


def reason_to_stop(task_state: str | None, own_try: int, waiting_try: int | None) -> tuple[bool, str]:
    """Whether the execution shall be stopped, now that its task is in ``task_state``, and why or why not.

    A task that was cleared has no state, or one of those on the way to its next try; that one may even wait already,
    which ``waiting_try`` tells from a trigger that another triggerer took over.
    """
    if task_state == "deferred" and waiting_try == own_try:
        return False, "its task still waits, and another triggerer watches it"
    if task_state in _GOES_ON:
        return False, _GOES_ON[task_state]
    return True, _STOPS.get(task_state or "", _CLEARED)


def was_stopped_for_another_try(error: str, cause: str, run_id: str, own_name: str) -> bool:
    """Whether stepbridge aborted an execution for a task instance of the run that is not ``own_name``.

    A task that is cleared while it waits is ended in the triggerer at its leisure; its next try may be waiting for the
    same execution by then.
    """
    if error not in STOP_ERRORS or own_name in cause:
        return False
    return re.search(rf" of run {re.escape(run_id)}, try \d", cause) is not None
