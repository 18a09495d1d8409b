"""Carries out the steps of a deployment plan."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from stepbridge.aws.arns import S3Uri
from stepbridge.aws.cloudformation import CloudFormation, StackEvent
from stepbridge.deployment._plan import ApplyTemplate, DeleteStack, Step, UploadTemplate, WaitForStack
from stepbridge.deployment._stack_status import StackState, stack_state
from stepbridge.errors import DeploymentError, FailedResource, StackFailedError

if TYPE_CHECKING:
    from stepbridge.aws.s3 import S3

Say = Callable[[str], None]

# A change set takes AWS about ten seconds, and the local AWS a millisecond.
_FIRST_PAUSE_SECONDS: Final = 0.05
_LONGEST_PAUSE_SECONDS: Final = 5.0
_DEADLINE_SECONDS: Final = 3600.0
_CANCELLED: Final = ("Resource creation cancelled", "Resource update cancelled", "Resource deletion cancelled")


@dataclass(frozen=True)
class StackChanger:
    """Changes stacks. ``say`` gets a line per step and per event of the stack."""

    cloudformation: CloudFormation
    s3: S3
    say: Say

    def carry_out(self, step: Step) -> None:
        """Return when the step has taken effect.

        Raises StackFailedError with the reasons of the resources that failed, DeploymentError when CloudFormation
        rejects the change or takes more than an hour, and AwsError.
        """
        if not isinstance(step, ApplyTemplate):  # which may turn out to change nothing
            self.say(str(step))
        match step:
            case WaitForStack():
                stack = self.cloudformation.stack(step.stack_name)
                if stack is not None:
                    self._follow(stack.id, step.stack_name, self._last_event(stack.id))
            case DeleteStack():
                self._delete(step.stack_name)
            case UploadTemplate():
                self.s3.write(S3Uri(step.bucket, step.key), step.body.encode(), "application/json")
            case ApplyTemplate():
                self._apply(step)

    def _apply(self, step: ApplyTemplate) -> None:
        upload = step.uploaded_to
        change_set_id = self.cloudformation.create_change_set(
            step.stack_name,
            f"stepbridge-{uuid4().hex}",
            step.change,
            step.parameters,
            body=step.body,
            url=self.s3.https_url(S3Uri(upload.bucket, upload.key)) if upload else None,
            import_existing=bool(step.adopt),
        )
        pauses = _Pauses(f"change set {change_set_id}")
        while not (change_set := self.cloudformation.change_set(change_set_id)).ended:
            pauses.pause(change_set.status)
        if change_set.is_empty:
            self.cloudformation.delete_change_set(change_set.id)
            self.say(f"stack {step.stack_name}: CloudFormation finds nothing to change")
            return
        if change_set.status == "FAILED":
            self.cloudformation.delete_change_set(change_set.id)
            if step.change == "CREATE":  # of which an empty stack in REVIEW_IN_PROGRESS is left
                self.cloudformation.delete_stack(change_set.stack_id)
            found = change_set.status_reason or "FAILED without a reason"
            raise DeploymentError(f"change set of stack {step.stack_name}", found)
        self.say(str(step))
        known = self._last_event(change_set.stack_id)
        self.cloudformation.execute_change_set(change_set)
        status, events = self._follow(change_set.stack_id, step.stack_name, known)
        if stack_state(status) is not StackState.DEPLOYED:
            remedy = "repair the cause and deploy again"
            raise StackFailedError.of(step.stack_name, status, _failures(events, step.stack_name), remedy)

    def _delete(self, stack_name: str) -> None:
        stack = self.cloudformation.stack(stack_name)
        if stack is None:
            return
        known = self._last_event(stack.id)
        self.cloudformation.delete_stack(stack.id)
        status, events = self._follow(stack.id, stack_name, known)
        if stack_state(status) is not StackState.ABSENT:
            remedy = "remove these resources, delete the stack, and deploy again"
            raise StackFailedError.of(stack_name, status, _failures(events, stack_name), remedy)

    def _last_event(self, stack_id: str) -> str | None:
        events = self.cloudformation.events_since(stack_id, None)
        return events[-1].id if events else None

    def _follow(self, stack_id: str, stack_name: str, known: str | None) -> tuple[str, list[StackEvent]]:
        """Say each event after ``known`` until nothing changes the stack; its status then, and those events."""
        pauses = _Pauses(f"stack {stack_name}")
        seen: list[StackEvent] = []
        while True:
            stack = self.cloudformation.stack(stack_id)
            status = stack.status if stack else "DELETE_COMPLETE"
            for event in self.cloudformation.events_since(stack_id, seen[-1].id if seen else known) if stack else []:
                seen.append(event)
                reason = f": {event.reason}" if event.reason else ""
                self.say(f"{pauses.elapsed_seconds:5.0f} s  {event.logical_id}  {event.status}{reason}")
            if stack_state(status) is not StackState.BUSY:
                return status, seen
            pauses.pause(status)


class _Pauses:
    """Pauses that grow, up to one deadline."""

    def __init__(self, waiting_for: str) -> None:
        self._waiting_for = waiting_for
        self._started = time.monotonic()
        self._next_seconds = _FIRST_PAUSE_SECONDS

    @property
    def elapsed_seconds(self) -> float:
        return time.monotonic() - self._started

    def pause(self, status: str) -> None:
        """Raises DeploymentError, naming ``status``, once the deadline has passed."""
        if self.elapsed_seconds > _DEADLINE_SECONDS:
            found = f"still {status} after {self.elapsed_seconds:.0f} s"
            raise DeploymentError(self._waiting_for, found, "", "see its events in the CloudFormation console")
        time.sleep(self._next_seconds)
        self._next_seconds = min(self._next_seconds * 1.5, _LONGEST_PAUSE_SECONDS)


def _failures(events: Sequence[StackEvent], stack_name: str) -> list[FailedResource]:
    return [
        FailedResource(event.logical_id, event.resource_type, event.status, event.reason)
        for event in events
        if event.status.endswith("_FAILED")
        and event.logical_id != stack_name
        and not event.reason.startswith(_CANCELLED)
    ]
