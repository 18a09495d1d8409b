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


STACK_STATUSES: Final[Mapping[str, StackState]] = {
    "CREATE_IN_PROGRESS": StackState.BUSY,
    "CREATE_FAILED": StackState.BROKEN_CREATION,
    "CREATE_COMPLETE": StackState.DEPLOYED,
    "ROLLBACK_IN_PROGRESS": StackState.BUSY,
    "ROLLBACK_FAILED": StackState.BROKEN_CREATION,
    "ROLLBACK_COMPLETE": StackState.BROKEN_CREATION,
    "DELETE_IN_PROGRESS": StackState.BUSY,
    "DELETE_FAILED": StackState.STUCK,
    "DELETE_COMPLETE": StackState.ABSENT,
    "UPDATE_IN_PROGRESS": StackState.BUSY,
    "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS": StackState.BUSY,
    "UPDATE_COMPLETE": StackState.DEPLOYED,
    "UPDATE_FAILED": StackState.ROLLED_BACK,
    "UPDATE_ROLLBACK_IN_PROGRESS": StackState.BUSY,
    "UPDATE_ROLLBACK_FAILED": StackState.STUCK,
    "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS": StackState.BUSY,
    "UPDATE_ROLLBACK_COMPLETE": StackState.ROLLED_BACK,
    # A change set for a new stack was created and never executed: there are no resources yet.
    "REVIEW_IN_PROGRESS": StackState.ABSENT,
    "IMPORT_IN_PROGRESS": StackState.BUSY,
    "IMPORT_COMPLETE": StackState.DEPLOYED,
    "IMPORT_ROLLBACK_IN_PROGRESS": StackState.BUSY,
    "IMPORT_ROLLBACK_FAILED": StackState.STUCK,
    "IMPORT_ROLLBACK_COMPLETE": StackState.ROLLED_BACK,
}


def stack_state(status: str | None) -> StackState:
    """The row of ``status``; None, no such stack, is ABSENT. Raises DeploymentError for a status without a row."""
    if status is None:
        return StackState.ABSENT
    if status not in STACK_STATUSES:
        raise DeploymentError("stack status", repr(status), f"one of {', '.join(sorted(STACK_STATUSES))}")
    return STACK_STATUSES[status]
