"""Step Functions: executions started, described, listed, redriven and stopped.

API: https://docs.aws.amazon.com/step-functions/latest/apireference/API_Operations.html
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from stepbridge.aws.calls import aws_call

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient

CAUSE_LENGTH: Final = 32768  # https://docs.aws.amazon.com/step-functions/latest/apireference/API_StopExecution.html
ERROR_LENGTH: Final = 256
PAGE_SIZE: Final = 1000


@dataclass(frozen=True)
class Execution:
    """What DescribeExecution returns. ``description`` is the whole response.

    ``latest_start`` is when it was started, or last redriven.
    ``redrive_status`` is REDRIVABLE, NOT_REDRIVABLE or REDRIVABLE_BY_MAP_RUN, empty when the service does not say.
    """

    arn: str
    name: str
    status: str
    latest_start: datetime
    redrive_status: str
    redrive_status_reason: str
    description: Mapping[str, Any] = field(repr=False)

    @property
    def error(self) -> str:
        """What it failed with or was stopped for; empty when there is nothing."""
        return str(self.description.get("error") or "")

    @property
    def cause(self) -> str:
        """The text beside the error."""
        return str(self.description.get("cause") or "")

    @property
    def input(self) -> Mapping[str, Any]:
        """The execution's input; empty when it is no JSON object."""
        document = json.loads(self.description.get("input") or "{}")
        return document if isinstance(document, dict) else {}


@dataclass(frozen=True)
class ListedExecution:
    """One line of ListExecutions."""

    arn: str
    status: str
    latest_start: datetime


class StepFunctions:
    """Executions through one boto3 client. Every method raises ``AwsError``."""

    def __init__(self, client: SFNClient) -> None:
        self._client = client

    def start(self, state_machine: str, name: str, input_json: str) -> str:
        """Start the execution ``name`` and return its ARN; the same call while it runs returns the same execution.

        Raises AlreadyExistsError when an execution of that name has ended, or runs with another input.
        """
        with aws_call("states:StartExecution", state_machine):
            answer = self._client.start_execution(stateMachineArn=state_machine, name=name, input=input_json)
        return answer["executionArn"]

    def describe(self, arn: str) -> Execution:
        """Raises NotFoundError when there is no such execution."""
        with aws_call("states:DescribeExecution", arn):
            answer: Mapping[str, Any] = self._client.describe_execution(executionArn=arn)
        return Execution(
            arn=answer["executionArn"],
            name=answer["name"],
            status=answer["status"],
            latest_start=_latest_start(answer),
            redrive_status=answer.get("redriveStatus", ""),
            redrive_status_reason=answer.get("redriveStatusReason", ""),
            description={key: value for key, value in answer.items() if key != "ResponseMetadata"},
        )

    def redrive(self, arn: str, client_token: str) -> datetime:
        """Continue a failed execution at the state that failed; the time it was redriven at.

        ``client_token`` (at most 64 characters) makes a repeated call the same call. Raises NotRedrivableError.
        """
        with aws_call("states:RedriveExecution", arn):
            return self._client.redrive_execution(executionArn=arn, clientToken=client_token)["redriveDate"]

    def stop(self, arn: str, error: str, cause: str) -> None:
        """Abort the execution; AWS stops the Processing job that a ``.sync`` state waits for.

        Does nothing to an execution that has ended. Raises NotFoundError when there is none.
        """
        with aws_call("states:StopExecution", arn):
            self._client.stop_execution(executionArn=arn, error=error[:ERROR_LENGTH], cause=cause[:CAUSE_LENGTH])

    def history(self, arn: str) -> list[Mapping[str, Any]]:
        """All events, oldest first (at most 25,000)."""
        with aws_call("states:GetExecutionHistory", arn):
            pages = self._client.get_paginator("get_execution_history").paginate(
                executionArn=arn, includeExecutionData=True, PaginationConfig={"PageSize": PAGE_SIZE}
            )
            return [event for page in pages for event in page["events"]]

    def role_of(self, state_machine: str) -> str:
        """The ARN of the role that the state machine assumes."""
        with aws_call("states:DescribeStateMachine", state_machine):
            return self._client.describe_state_machine(stateMachineArn=state_machine)["roleArn"]

    def revision_of(self, arn: str) -> str:
        """The revision of the state machine's definition that the execution runs; empty for the first one."""
        with aws_call("states:DescribeStateMachineForExecution", arn):
            return self._client.describe_state_machine_for_execution(executionArn=arn).get("revisionId", "")

    def latest_events(self, arn: str, count: int) -> list[Mapping[str, Any]]:
        """At most ``count`` (1 to 1000) events from the end, oldest first; one call."""
        with aws_call("states:GetExecutionHistory", arn):
            answer = self._client.get_execution_history(executionArn=arn, maxResults=count, reverseOrder=True)
        return [*reversed(answer["events"])]

    def running(self, state_machine: str) -> Iterator[ListedExecution]:
        """The executions of ``state_machine`` that run now, 1000 a call; eventually consistent."""
        return self._listed(state_machine, {"statusFilter": "RUNNING"})

    def latest(self, state_machine: str, most: int) -> Iterator[ListedExecution]:
        """At most ``most`` executions of ``state_machine``, whatever their status, from the one started last on.

        1000 a call; eventually consistent.
        """
        return itertools.islice(self._listed(state_machine, {}), most)

    def _listed(self, state_machine: str, chosen: Mapping[str, Any]) -> Iterator[ListedExecution]:
        with aws_call("states:ListExecutions", state_machine):
            pages = self._client.get_paginator("list_executions").paginate(
                stateMachineArn=state_machine, PaginationConfig={"PageSize": PAGE_SIZE}, **chosen
            )
            for page in pages:
                for item in page["executions"]:
                    yield ListedExecution(item["executionArn"], item["status"], _latest_start(item))


def _latest_start(answer: Mapping[str, Any]) -> datetime:
    started: datetime = answer["startDate"]
    return max(started, answer.get("redriveDate") or started)
