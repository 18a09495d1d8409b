"""The parts of a CloudFormation resource type. Each type is a module in ``resources``.

As on AWS, a resource is created through the API of its service, here with clients of this local AWS. A property that a
type does not have is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

__all__ = [
    "REFUSALS",
    "Properties",
    "ResourceFailedError",
    "ResourceType",
    "ReturnValues",
    "StackContext",
    "failure_reason",
]

Properties = Mapping[str, Any]


class ResourceFailedError(Exception):
    """A resource cannot be created, updated or deleted; the text is the reason in its event."""


REFUSALS: Final = (ResourceFailedError, ClientError, BotoCoreError)
"""The errors that creating, updating and deleting a resource can raise."""


def failure_reason(error: BaseException) -> str:
    """The reason in the resource's event: the service's own message if a service refused."""
    if isinstance(error, ClientError):
        code, message = error.response["Error"]["Code"], error.response["Error"]["Message"]
        return f'Resource handler returned message: "{message}" ({error.operation_name}: {code})'
    return str(error)


@dataclass(frozen=True)
class StackContext:
    """The account and region of a stack, and access to its resources.

    ``endpoint_url`` is where the local AWS answers, empty where it does not listen. ``client(service)`` is a boto3
    client. ``take_restored(type_name, name)`` says whether the resource was restored after a restart of the local AWS,
    which forgets stacks, and no stack has taken it yet; from then on this one has.
    """

    account_id: str
    region: str
    endpoint_url: str
    client: Callable[[str], Any]
    take_restored: Callable[[str, str], bool]


@dataclass(frozen=True)
class ReturnValues:
    """What ``Ref`` and ``Fn::GetAtt`` return."""

    physical_id: str
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ResourceType:
    """How resources of one type are created, updated and deleted. All three raise ``REFUSALS``.

    ``create(context, name, properties)`` creates the bare resource and returns its physical ID. ``configure(context,
    physical_id, old, new)`` brings it from the old properties, none at first, to the new ones. ``delete(context,
    physical_id, properties)`` deletes it. A change of one of the properties ``replaced_by`` needs a new resource.
    ``exists(context, name)`` is there for types whose resources can be adopted.
    """

    name: str
    required: frozenset[str]
    optional: frozenset[str]
    create: Callable[[StackContext, str, Properties], str]
    configure: Callable[[StackContext, str, Properties, Properties], ReturnValues]
    delete: Callable[[StackContext, str, Properties], None]
    name_property: str | None = None
    replaced_by: frozenset[str] = frozenset()
    exists: Callable[[StackContext, str], bool] | None = None

    def check(self, properties: Properties) -> None:
        """Raise ResourceFailedError for properties that are missing or that the local AWS does not have."""
        if missing := sorted(self.required - properties.keys()):
            raise ResourceFailedError(f"required key [{', '.join(missing)}] not found")
        if unknown := sorted(properties.keys() - self.required - self.optional):
            known = ", ".join(sorted(self.required | self.optional))
            raise ResourceFailedError(
                f"Encountered unsupported property {', '.join(unknown)}; the local AWS has {known} for {self.name}"
            )

    def needs_replacement(self, old: Properties, new: Properties) -> bool:
        """Whether the change takes a new resource."""
        return any(old.get(name) != new.get(name) for name in self.replaced_by)

    def provide(
        self, context: StackContext, generated_name: str, properties: Properties, may_adopt: bool
    ) -> tuple[ReturnValues, bool]:
        """Create the resource, or adopt the one that exists; whether it was adopted. Leaves nothing when it raises."""
        name = properties.get(self.name_property or "", generated_name)
        if self.exists is not None and self.exists(context, name):
            if not may_adopt and not context.take_restored(self.name, name):
                raise ResourceFailedError(f"{name} already exists")
            return self.configure(context, name, {}, properties), True
        physical_id = self.create(context, name, properties)
        try:
            return self.configure(context, physical_id, {}, properties), False
        except REFUSALS:
            self.delete(context, physical_id, properties)
            raise
