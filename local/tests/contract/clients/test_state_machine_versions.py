"""Versions, aliases and validation of state machines, through boto3."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from .conftest import Site, until


def definition(result: int) -> str:
    return json.dumps({"StartAt": "P", "States": {"P": {"Type": "Pass", "Result": result, "End": True}}})


def output(sfn: Any, arn: str) -> tuple[Any, dict[str, Any]]:
    """The output of a new execution, and its description."""
    execution = sfn.start_execution(stateMachineArn=arn)["executionArn"]
    ended = until(lambda: sfn.describe_execution(executionArn=execution), lambda one: bool(one["status"] != "RUNNING"))
    return json.loads(ended["output"]), ended


def test_versions_are_published_listed_run_and_deleted(site: Site) -> None:
    """A version stays what it was; the same revision is published once; a page at a time, newest first."""
    sfn = site.client("stepfunctions")
    made = sfn.create_state_machine(
        name=site.unique("versions"), definition=definition(1), roleArn=site.role_arn, publish=True
    )
    arn, first = made["stateMachineArn"], made["stateMachineVersionArn"]
    assert first == f"{arn}:1"
    assert sfn.publish_state_machine_version(stateMachineArn=arn)["stateMachineVersionArn"] == first
    sfn.update_state_machine(stateMachineArn=arn, definition=definition(2))
    second = sfn.publish_state_machine_version(stateMachineArn=arn)["stateMachineVersionArn"]
    third = sfn.update_state_machine(stateMachineArn=arn, definition=definition(3), publish=True)
    assert [output(sfn, one)[0] for one in (first, second, arn)] == [1, 2, 3]
    page = sfn.list_state_machine_versions(stateMachineArn=arn, maxResults=2)
    assert [one["stateMachineVersionArn"] for one in page["stateMachineVersions"]] == [
        third["stateMachineVersionArn"],
        second,
    ]
    rest = sfn.list_state_machine_versions(stateMachineArn=arn, nextToken=page["nextToken"])
    assert [one["stateMachineVersionArn"] for one in rest["stateMachineVersions"]] == [first]
    sfn.delete_state_machine_version(stateMachineVersionArn=first)
    with pytest.raises(ClientError, match="StateMachineDoesNotExist"):
        sfn.start_execution(stateMachineArn=first)


def test_an_alias_leads_to_versions_by_their_weights(site: Site) -> None:
    """Executions say by which alias and version they run; a version that an alias leads to cannot be deleted."""
    sfn = site.client("stepfunctions")
    name = site.unique("aliased")
    first = sfn.create_state_machine(name=name, definition=definition(1), roleArn=site.role_arn, publish=True)
    arn = first["stateMachineArn"]
    second = sfn.update_state_machine(stateMachineArn=arn, definition=definition(2), publish=True)
    versions = [first["stateMachineVersionArn"], second["stateMachineVersionArn"]]
    routes = [
        {"stateMachineVersionArn": version, "weight": weight}
        for version, weight in zip(versions, (0, 100), strict=True)
    ]
    alias = sfn.create_state_machine_alias(name="prod", routingConfiguration=routes)["stateMachineAliasArn"]
    result, execution = output(sfn, alias)
    assert (result, execution["stateMachineVersionArn"], execution["stateMachineAliasArn"]) == (2, versions[1], alias)
    sfn.update_state_machine_alias(
        stateMachineAliasArn=alias, routingConfiguration=[{"stateMachineVersionArn": versions[0], "weight": 100}]
    )
    assert output(sfn, alias)[0] == 1
    with pytest.raises(ClientError, match=r"ConflictException.*\[prod\]"):
        sfn.delete_state_machine_version(stateMachineVersionArn=versions[0])
    listed = sfn.list_executions(stateMachineArn=alias)["executions"]
    assert len(listed) == 2


def test_a_definition_is_only_checked(site: Site) -> None:
    """ValidateStateMachineDefinition says OK, or FAIL with what CreateStateMachine would say."""
    sfn = site.client("stepfunctions")
    assert sfn.validate_state_machine_definition(definition=definition(1))["result"] == "OK"
    answer = sfn.validate_state_machine_definition(definition='{"StartAt": "A", "States": {"A": {"Type": "Nope"}}}')
    assert answer["result"] == "FAIL"
    assert "Nope" in answer["diagnostics"][0]["message"]
