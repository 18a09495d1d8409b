"""The exceptions of stepbridge: one root, and below it a class for each condition.

An error keeps its raw values as attributes and makes its text in ``__str__``, so that it survives pickling (Airflow
and process pools pickle exceptions) and so that a program can read what a person reads. The text has one shape:
``where: what was found; what was expected; what to do next.``
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final


def _sentence(where: str, found: str, expected: str, remedy: str) -> str:
    parts = [found, expected and f"expected {expected}", remedy]
    return f"{where}: " + "; ".join(part for part in parts if part)


class StepbridgeError(Exception):
    """Base of all errors of stepbridge.

    ``where`` names the file, field, resource or call; ``found`` says what was there, ``expected`` what should have
    been, ``remedy`` what the reader does next. ``expected`` and ``remedy`` may be empty.
    """

    def __init__(self, where: str, found: str, expected: str = "", remedy: str = "") -> None:
        super().__init__(where, found, expected, remedy)
        self.where = where
        self.found = found
        self.expected = expected
        self.remedy = remedy

    def __str__(self) -> str:
        return self.summary

    @property
    def summary(self) -> str:
        """The text without what is long in it, such as lines of a log: what stands last in a task's log."""
        return _sentence(self.where, self.found, self.expected, self.remedy)


class ConfigurationError(StepbridgeError):
    """What the user wrote or set up cannot be used as it is."""


class FolderError(StepbridgeError):
    """A folder cannot be built or uploaded as it is."""


class ImageBuildError(StepbridgeError):
    """An image build did not end with an image. The text ends with the last lines of the build's log.

    ``status`` and ``phase`` are CodeBuild's, empty unless the build itself failed; ``exit_code`` is the failed
    command's, None when it is not known.
    """

    status: str = ""
    phase: str = ""
    exit_code: int | None = None
    log_lines: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.log_lines:
            plural = "" if len(self.log_lines) == 1 else "s"
            return "\n".join([self.summary, f"last {len(self.log_lines)} log line{plural}:", *self.log_lines])
        return f"{self.summary}\n(the build wrote no log)" if self.status else self.summary


class BrokenImageError(ImageBuildError):
    """The build failed for its Dockerfile, its files or its packages, and would fail again."""


class UnknownStatusError(StepbridgeError):
    """AWS answered with a status that no table of ``core.statuses`` has a row for."""


@dataclass(frozen=True)
class Problem:
    """One thing wrong in a document. ``excerpt`` is the line it is in and a caret below, or empty."""

    where: str
    found: str
    expected: str = ""
    remedy: str = ""
    excerpt: str = ""

    def __str__(self) -> str:
        text = _sentence(self.where, self.found, self.expected, self.remedy)
        return "\n".join([text, *(f"    {line}" for line in self.excerpt.splitlines())])


class DocumentError(ConfigurationError):
    """A document has problems; ``problems`` holds all of them, in the order of the document."""

    def __init__(self, source: str, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        super().__init__(source, f"{count} problem{'' if count == 1 else 's'}")
        self.args = (source, self.problems)  # what pickle hands to __init__

    @property
    def source(self) -> str:
        return self.where

    @property
    def summary(self) -> str:
        return "\n".join([f"{self.where}: {self.found}", *(str(problem) for problem in self.problems)])


class CardError(DocumentError):
    """A model card cannot be used."""


class ExecutionInputError(DocumentError):
    """An execution input cannot be used."""


class DefinitionError(DocumentError):
    """A state machine definition cannot be used."""


class AwsError(StepbridgeError):
    """A call to AWS failed.

    ``action`` is the IAM action (``states:StartExecution``), ``resource`` what it was called on, ``code`` the AWS
    exception name and ``request_id`` what AWS support asks for; the last two are empty when no answer came.
    """

    action: str = ""
    resource: str = ""
    code: str = ""
    request_id: str = ""


class AccessDeniedError(AwsError):
    """The credentials are good, but no policy allows the action on the resource."""


class CredentialsError(AwsError):
    """There are no credentials, or they are expired or wrong."""


class NotFoundError(AwsError):
    """What was asked for does not exist."""


class AlreadyExistsError(AwsError):
    """Something with this name exists already."""


class NotRedrivableError(AwsError):
    """The execution cannot be redriven."""


class ThrottlingError(AwsError):
    """Too many calls in a short time; the same call succeeds later."""


class QuotaExceededError(AwsError):
    """A quota of the account is used up."""


class ServiceUnavailableError(AwsError):
    """The service failed on its own side (5xx); the same call may succeed later."""


class EndpointUnreachableError(AwsError):
    """No answer came: name not resolved, connection refused, closed or timed out."""


class RequestRejectedError(AwsError):
    """The service refused the request as it is."""


TRANSIENT_ERRORS: Final = (ThrottlingError, ServiceUnavailableError, EndpointUnreachableError)
"""Errors that pass by themselves. They slow a wait down and never fail it."""


class TemplateError(ConfigurationError):
    """The template, the definition or a parameter cannot be deployed."""


class DeploymentError(StepbridgeError):
    """The stack cannot be deployed as things are."""


@dataclass(frozen=True)
class FailedResource:
    """A resource that CloudFormation could not create, update or delete, and why."""

    logical_id: str
    resource_type: str
    status: str
    reason: str


class StackFailedError(DeploymentError):
    """CloudFormation could not create, update or delete the stack.

    ``failures`` are the resources that failed by themselves, oldest first, without those that were only cancelled
    after one of them.
    """

    failures: tuple[FailedResource, ...] = ()

    @classmethod
    def of(cls, stack_name: str, status: str, failures: Sequence[FailedResource], remedy: str) -> StackFailedError:
        """The error for a stack that ended in ``status``."""
        reasons = [f"{f.logical_id} ({f.resource_type}) {f.status}: {f.reason}" for f in failures]
        error = cls(f"stack {stack_name}", "\n  ".join([f"ended in {status}", *reasons]), "", remedy)
        error.failures = tuple(failures)
        return error
