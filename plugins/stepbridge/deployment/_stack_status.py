"""What each CloudFormation stack status means for a deployment.

A test checks that every status of the service model has a row. Source: "Stack status codes" in the CloudFormation user
guide.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Final

from stepbridge.errors import DeploymentError


class StackState(Enum):
    """What can be done with a stack."""

    ABSENT = "it does not exist: create it"
    DEPLOYED = "the last change succeeded: update it"
    ROLLED_BACK = "the last change failed and was rolled back: update it"
    BROKEN_CREATION = "its creation failed: only deleting it is possible"
    BUSY = "something is changing it: wait"
    STUCK = "a person has to decide"


_STATUSES_BY_STATE: Final = {
    StackState.ABSENT: "DELETE_COMPLETE "
    "REVIEW_IN_PROGRESS",  # a change set for a new stack was created and never executed: there are no resources yet
    StackState.DEPLOYED: "CREATE_COMPLETE UPDATE_COMPLETE IMPORT_COMPLETE",
    StackState.ROLLED_BACK: "UPDATE_FAILED UPDATE_ROLLBACK_COMPLETE IMPORT_ROLLBACK_COMPLETE",
    StackState.BROKEN_CREATION: "CREATE_FAILED ROLLBACK_FAILED ROLLBACK_COMPLETE",
    StackState.BUSY: "CREATE_IN_PROGRESS ROLLBACK_IN_PROGRESS DELETE_IN_PROGRESS UPDATE_IN_PROGRESS IMPORT_IN_PROGRESS "
    "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS UPDATE_ROLLBACK_IN_PROGRESS UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS "
    "IMPORT_ROLLBACK_IN_PROGRESS",
    StackState.STUCK: "DELETE_FAILED UPDATE_ROLLBACK_FAILED IMPORT_ROLLBACK_FAILED",
}
STACK_STATUSES: Final[Mapping[str, StackState]] = {
    status: state for state, statuses in _STATUSES_BY_STATE.items() for status in statuses.split()
}


def stack_state(status: str | None) -> StackState:
    """The row of ``status``; None, no such stack, is ABSENT. Raises DeploymentError for a status without a row."""
    if status is None:
        return StackState.ABSENT
    if status not in STACK_STATUSES:
        raise DeploymentError("stack status", repr(status), f"one of {', '.join(sorted(STACK_STATUSES))}")
    return STACK_STATUSES[status]
