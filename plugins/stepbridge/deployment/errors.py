"""What can go wrong between the command ``stepbridge deploy`` and a deployed stack, besides AWS's own faults."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stepbridge.errors import ConfigurationError, StepbridgeError

__all__ = ["DeploymentError", "FailedResource", "StackFailedError", "TemplateError"]


class TemplateError(ConfigurationError):
    """The template, the definition or a parameter cannot be deployed."""


class DeploymentError(StepbridgeError):
    """The stack cannot be deployed as things are."""


@dataclass(frozen=True)
class FailedResource:
    """A resource that could not be made, changed or deleted, and why."""

    logical_id: str
    resource_type: str
    status: str
    reason: str


class StackFailedError(DeploymentError):
    """The stack did not get where it should.

    ``failures`` are the resources that failed by themselves, oldest first; those that were only cancelled after one of
    them are not among them.
    """

    failures: tuple[FailedResource, ...] = ()

    @classmethod
    def of(cls, stack_name: str, status: str, failures: Sequence[FailedResource], remedy: str) -> StackFailedError:
        """The error for a stack that ended in ``status``."""
        reasons = [f"{f.logical_id} ({f.resource_type}) {f.status}: {f.reason}" for f in failures]
        error = cls(f"stack {stack_name}", "\n  ".join([f"ended in {status}", *reasons]), "", remedy)
        error.failures = tuple(failures)
        return error
