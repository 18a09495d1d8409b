"""The resource kinds that stacks of the local AWS may have, and what they are made of.

As on AWS, a kind is made through the services' own APIs; here by clients of this very endpoint. A property that a kind
does not have is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from moto.cloudformation.exceptions import UnformattedGetAttTemplateException
from moto.core.exceptions import ServiceException

__all__ = [
    "EXPECTED_FAILURES",
    "Kind",
    "KindContext",
    "Made",
    "Properties",
    "ResourceFailedError",
    "StackResource",
    "failure_reason",
]

Properties = Mapping[str, Any]


class ResourceFailedError(Exception):
    """A resource cannot be made, changed or removed; the text is the reason in its event."""


EXPECTED_FAILURES = (ResourceFailedError, ClientError, BotoCoreError, ServiceException)


def failure_reason(error: BaseException) -> str:
    """What the event says: the service's own message where a service refused."""
    if isinstance(error, ClientError):
        code, message = error.response["Error"]["Code"], error.response["Error"]["Message"]
        return f'Resource handler returned message: "{message}" ({error.operation_name}: {code})'
    return str(error)


@dataclass(frozen=True)
class KindContext:
    """The account and region of a stack, and how its resources are reached.

    ``endpoint_url`` is where the local AWS answers, empty where it does not listen.
    ``client(service)`` is a boto3 client; ``outlived(kind, name)`` tells whether the resource came back after a restart
    of the local AWS, which forgets stacks, and belongs to no stack yet.
    """

    account_id: str
    region: str
    endpoint_url: str
    client: Callable[[str], Any]
    outlived: Callable[[str, str], bool]


@dataclass(frozen=True)
class Made:
    """What a kind answers: what ``Ref`` and ``Fn::GetAtt`` give."""

    physical_id: str
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class StackResource:
    """A resource that is there. ``adopted``: it was there before its stack, whose rollback leaves it alone."""

    logical_resource_id: str
    kind_name: str
    properties: Properties
    made: Made
    adopted: bool
    is_retained: bool

    @property
    def physical_resource_id(self) -> str:
        return self.made.physical_id

    @property
    def cf_resource_type(self) -> str:
        return self.kind_name

    def get_cfn_attribute(self, name: str) -> Any:
        if name not in self.made.attributes:
            raise UnformattedGetAttTemplateException
        return self.made.attributes[name]


@dataclass(frozen=True)
class Kind:
    """How resources of one type are made.

    ``make(context, name, properties)`` makes the bare resource and returns its physical ID; ``configure(context,
    physical_id, old, new)`` brings it from the old properties (none at first) to the new ones; ``delete`` removes it.
    A change of one of ``replaced_by`` needs another resource. ``exists`` is there for kinds that can be adopted.
    """

    name: str
    required: frozenset[str]
    optional: frozenset[str]
    make: Callable[[KindContext, str, Properties], str]
    configure: Callable[[KindContext, str, Properties, Properties], Made]
    delete: Callable[[KindContext, str, Properties], None]
    name_property: str | None = None
    replaced_by: frozenset[str] = frozenset()
    exists: Callable[[KindContext, str], bool] | None = None

    def check(self, properties: Properties) -> None:
        """Raise ResourceFailedError for properties that are missing or that the local AWS does not have."""
        if missing := sorted(self.required - properties.keys()):
            raise ResourceFailedError(f"required key [{', '.join(missing)}] not found")
        if unknown := sorted(properties.keys() - self.required - self.optional):
            known = ", ".join(sorted(self.required | self.optional))
            raise ResourceFailedError(
                f"Encountered unsupported property {', '.join(unknown)}; the local AWS has {known} for {self.name}"
            )

    def provide(
        self, context: KindContext, generated_name: str, properties: Properties, may_adopt: bool
    ) -> tuple[Made, bool]:
        """Make the resource, or adopt the one that is there; whether it was adopted. Leaves nothing when it raises."""
        name = properties.get(self.name_property or "", generated_name)
        if self.exists is not None and self.exists(context, name):
            if not may_adopt and not context.outlived(self.name, name):
                raise ResourceFailedError(f"{name} already exists")
            return self.configure(context, name, {}, properties), True
        physical_id = self.make(context, name, properties)
        try:
            return self.configure(context, physical_id, {}, properties), False
        except EXPECTED_FAILURES:
            self.delete(context, physical_id, properties)
            raise

    def change(
        self, context: KindContext, generated_name: str, present: StackResource, properties: Properties
    ) -> tuple[Made, bool]:
        """Bring the resource to the new properties, or make another in its place when that is what it takes."""
        if any(present.properties.get(name) != properties.get(name) for name in self.replaced_by):
            return self.provide(context, generated_name, properties, may_adopt=False)
        made = self.configure(context, present.physical_resource_id, present.properties, properties)
        return made, present.adopted
