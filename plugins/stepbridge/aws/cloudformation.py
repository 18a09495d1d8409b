"""CloudFormation: stacks described, changed through change sets, and followed by their events.

API: https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_CreateChangeSet.html
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from stepbridge.aws.calls import aws_call
from stepbridge.errors import RequestRejectedError

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient

# "No changes" is a failure of the change set; only its text distinguishes it from others.
_NO_CHANGES: Final = ("didn't contain changes", "No updates are to be performed")


@dataclass(frozen=True)
class Stack:
    """One stack, as DescribeStacks shows it."""

    id: str
    name: str
    status: str
    status_reason: str
    parameters: Mapping[str, str]
    outputs: Mapping[str, str]


@dataclass(frozen=True)
class ChangeSet:
    """One change set. ``id`` and ``stack_id`` are ARNs."""

    id: str
    stack_id: str
    status: str
    status_reason: str

    @property
    def ended(self) -> bool:
        return self.status in ("CREATE_COMPLETE", "FAILED")

    @property
    def is_empty(self) -> bool:
        """Whether it failed only because there is nothing to change."""
        return self.status == "FAILED" and any(text in self.status_reason for text in _NO_CHANGES)


@dataclass(frozen=True)
class StackEvent:
    """Something that happened to a resource of a stack, or to the stack (then ``logical_id`` is its name)."""

    id: str
    logical_id: str
    resource_type: str
    status: str
    reason: str


class CloudFormation:
    """Stacks through one boto3 client. Every method raises ``AwsError``."""

    def __init__(self, client: CloudFormationClient) -> None:
        self._client = client

    def stack(self, name_or_id: str) -> Stack | None:
        """The stack; None when there is none. A deleted stack is found by its ID only."""
        try:
            with aws_call("cloudformation:DescribeStacks", name_or_id):
                answer = self._client.describe_stacks(StackName=name_or_id)
        except RequestRejectedError as error:
            if error.code == "ValidationError" and "does not exist" in error.found:
                return None
            raise
        return _stack(answer["Stacks"][0])

    def template(self, stack_name: str) -> str:
        """The template that the stack was last deployed with, as it was sent; YAML or JSON."""
        with aws_call("cloudformation:GetTemplate", stack_name):
            answer = self._client.get_template(StackName=stack_name, TemplateStage="Original")
        body: Any = answer["TemplateBody"]  # botocore has parsed it when it was JSON
        return body if isinstance(body, str) else json.dumps(body)

    def create_change_set(
        self,
        stack_name: str,
        name: str,
        change: Literal["CREATE", "UPDATE"],
        parameters: Mapping[str, str],
        *,
        body: str | None,
        url: str | None,
        import_existing: bool,
    ) -> str:
        """The ARN of a change set that CloudFormation is creating from ``body`` or from the template at ``url``.

        A parameter without a value takes its default.
        ``import_existing``: the stack takes over resources that exist already under the names in the template.
        """
        template: Any = {"TemplateURL": url} if url is not None else {"TemplateBody": body}
        with aws_call("cloudformation:CreateChangeSet", stack_name):
            return self._client.create_change_set(
                StackName=stack_name,
                ChangeSetName=name,
                ClientToken=name,
                ChangeSetType=change,
                Capabilities=["CAPABILITY_NAMED_IAM"],
                Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
                ImportExistingResources=import_existing,
                **template,
            )["Id"]

    def change_set(self, change_set_id: str) -> ChangeSet:
        with aws_call("cloudformation:DescribeChangeSet", change_set_id):
            answer = self._client.describe_change_set(ChangeSetName=change_set_id)
        return ChangeSet(change_set_id, answer["StackId"], answer["Status"], answer.get("StatusReason", ""))

    def execute_change_set(self, change_set: ChangeSet) -> None:
        """Begin to carry it out. If the creation fails, everything it created is removed, retained resources too."""
        with aws_call("cloudformation:ExecuteChangeSet", change_set.id):
            self._client.execute_change_set(ChangeSetName=change_set.id, RetainExceptOnCreate=True)

    def delete_change_set(self, change_set_id: str) -> None:
        with aws_call("cloudformation:DeleteChangeSet", change_set_id):
            self._client.delete_change_set(ChangeSetName=change_set_id)

    def delete_stack(self, stack_id: str) -> None:
        """Begin to delete the stack; buckets and repositories with the DeletionPolicy Retain stay."""
        with aws_call("cloudformation:DeleteStack", stack_id):
            self._client.delete_stack(StackName=stack_id)

    def events_since(self, stack_id: str, known: str | None) -> list[StackEvent]:
        """The stack's events after the one with the ID ``known`` (None: all), oldest first."""
        with aws_call("cloudformation:DescribeStackEvents", stack_id):
            pages = self._client.get_paginator("describe_stack_events").paginate(StackName=stack_id)
            events = (event for page in pages for event in page["StackEvents"])
            newer = [_event(event) for event in itertools.takewhile(lambda event: event["EventId"] != known, events)]
        return newer[::-1]


def _stack(answer: Mapping[str, Any]) -> Stack:
    return Stack(
        id=answer["StackId"],
        name=answer["StackName"],
        status=answer["StackStatus"],
        status_reason=answer.get("StackStatusReason", ""),
        parameters={p["ParameterKey"]: p["ParameterValue"] for p in answer.get("Parameters", [])},
        outputs={output["OutputKey"]: output["OutputValue"] for output in answer.get("Outputs", [])},
    )


def _event(answer: Mapping[str, Any]) -> StackEvent:
    return StackEvent(
        id=answer["EventId"],
        logical_id=answer.get("LogicalResourceId", ""),
        resource_type=answer.get("ResourceType", ""),
        status=answer.get("ResourceStatus", ""),
        reason=answer.get("ResourceStatusReason", ""),
    )
