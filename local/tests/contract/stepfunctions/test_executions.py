"""The operations on executions."""

from __future__ import annotations

import json
import re
import threading
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from .conftest import ROLE_ARN, ScriptedAws

DONE = {"Done": {"Type": "Succeed"}}
LONG = {"Long": {"Type": "Wait", "Seconds": 300, "End": True}}


def code_of(call: Any, **arguments: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    return str(caught.value.response["Error"]["Code"])


# --- StartExecution ---------------------------------------------------------------------------------------------------
def test_start_again_while_it_runs_gives_the_same_execution(aws: ScriptedAws) -> None:
    """Same name and input, still running: the same ARN and start date, no second execution."""
    machine = aws.machine(LONG)
    first = aws.sfn.start_execution(stateMachineArn=machine, name="same", input='{"a": 1}')
    second = aws.sfn.start_execution(stateMachineArn=machine, name="same", input='{"a": 1}')
    assert (first["executionArn"], first["startDate"]) == (second["executionArn"], second["startDate"])
    assert len(aws.sfn.list_executions(stateMachineArn=machine)["executions"]) == 1
    aws.sfn.stop_execution(executionArn=first["executionArn"])


def test_another_input_under_a_running_name_is_refused(aws: ScriptedAws) -> None:
    """Same name, other input: ExecutionAlreadyExists."""
    machine = aws.machine(LONG)
    arn = aws.start(machine, {"a": 1}, name="taken")
    call = {"stateMachineArn": machine, "name": "taken", "input": '{"a": 2}'}
    assert code_of(aws.sfn.start_execution, **call) == "ExecutionAlreadyExists"
    aws.sfn.stop_execution(executionArn=arn)


def test_a_name_is_used_once(aws: ScriptedAws) -> None:
    """Same name and input after the end: ExecutionAlreadyExists."""
    machine = aws.machine(DONE)
    aws.end(aws.start(machine, name="once"))
    assert (
        code_of(aws.sfn.start_execution, stateMachineArn=machine, name="once", input="{}") == "ExecutionAlreadyExists"
    )


def test_starts_at_the_same_time_make_one_execution(aws: ScriptedAws) -> None:
    """Clients that race with one name and input get one execution."""
    machine = aws.machine(LONG)
    arns: list[str] = []
    threads = [threading.Thread(target=lambda: arns.append(aws.start(machine, name="race"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(arns) == 8
    assert len(set(arns)) == 1
    assert len(aws.sfn.list_executions(stateMachineArn=machine)["executions"]) == 1
    aws.sfn.stop_execution(executionArn=arns[0])


def test_without_a_name_it_gets_a_uuid(aws: ScriptedAws) -> None:
    """The name is made up when there is none, another one each time."""
    machine = aws.machine(DONE)
    arns = {aws.start(machine) for _ in range(2)}
    assert len(arns) == 2
    for arn in arns:
        assert re.fullmatch(r"arn:aws:states:us-east-1:123456789012:execution:machine-\d+:[0-9a-f-]{36}", arn)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"name": "no spaces"}, "InvalidName"),
        ({"name": "a:b"}, "InvalidName"),
        ({"name": "x" * 81}, "ValidationException"),
        ({"input": "{not json"}, "InvalidExecutionInput"),
        ({"input": json.dumps("x" * 262_144)}, "ValidationException"),
        ({"stateMachineArn": "arn:aws:states:us-east-1:123456789012:stateMachine:nobody"}, "StateMachineDoesNotExist"),
        ({"stateMachineArn": "nonsense"}, "InvalidArn"),
    ],
)
def test_a_bad_start_is_refused(aws: ScriptedAws, arguments: dict[str, str], code: str) -> None:
    """Each with the error code of AWS."""
    assert code_of(aws.sfn.start_execution, **{"stateMachineArn": aws.machine(DONE), **arguments}) == code


def test_accounts_and_regions_are_apart(aws: ScriptedAws) -> None:
    """A state machine of one region does not exist in another."""
    machine = aws.machine(DONE)
    elsewhere = aws.client("stepfunctions", "eu-west-1")
    assert code_of(elsewhere.start_execution, stateMachineArn=machine) == "StateMachineDoesNotExist"
    created = elsewhere.create_state_machine(
        name="there", roleArn=ROLE_ARN, definition=json.dumps({"StartAt": "Done", "States": DONE})
    )
    assert ":eu-west-1:" in created["stateMachineArn"]


# --- describing -------------------------------------------------------------------------------------------------------
def test_describe_tells_input_output_and_dates(aws: ScriptedAws) -> None:
    """Input and output as they are, with dates and redrive status."""
    text = '{ "a":  "é\\u00e9" }'
    arn = aws.sfn.start_execution(stateMachineArn=aws.machine(DONE), name="told", input=text)["executionArn"]
    execution = aws.end(arn)
    assert execution["input"] == text
    assert json.loads(execution["output"]) == {"a": "éé"}
    assert execution["inputDetails"] == execution["outputDetails"] == {"included": True}
    assert execution["name"] == "told"
    assert execution["startDate"] <= execution["stopDate"] <= datetime.now(UTC)
    assert (execution["redriveCount"], execution["redriveStatus"]) == (0, "NOT_REDRIVABLE")
    without = aws.sfn.describe_execution(executionArn=arn, includedData="METADATA_ONLY")
    assert "input" not in without
    assert "output" not in without


@pytest.mark.parametrize("operation", ["describe_execution", "stop_execution", "get_execution_history"])
def test_an_unknown_execution(aws: ScriptedAws, operation: str) -> None:
    """ExecutionDoesNotExist, or InvalidArn for what is no ARN of one."""
    call = getattr(aws.sfn, operation)
    arn = "arn:aws:states:us-east-1:123456789012:execution:m:nobody"
    assert code_of(call, executionArn=arn) == "ExecutionDoesNotExist"
    assert code_of(call, executionArn="nonsense") == "InvalidArn"


def test_the_definition_of_an_execution_outlives_an_update(aws: ScriptedAws) -> None:
    """DescribeStateMachineForExecution has the definition by which the execution runs."""
    machine = aws.machine(LONG)
    arn = aws.start(machine)
    aws.sfn.update_state_machine(
        stateMachineArn=machine, definition=json.dumps({"StartAt": "Done", "States": DONE}), roleArn=ROLE_ARN
    )
    described = aws.sfn.describe_state_machine_for_execution(executionArn=arn)
    assert json.loads(described["definition"])["StartAt"] == "Long"
    assert described["stateMachineArn"] == machine
    assert json.loads(aws.sfn.describe_state_machine(stateMachineArn=machine)["definition"])["StartAt"] == "Done"
    aws.sfn.stop_execution(executionArn=arn)


# --- stopping ---------------------------------------------------------------------------------------------------------
def test_stop_keeps_error_and_cause(aws: ScriptedAws) -> None:
    """ABORTED with what the caller gave, at once, even in the middle of a Wait; stopping again changes nothing."""
    arn = aws.start(aws.machine(LONG))
    stopped = aws.sfn.stop_execution(executionArn=arn, error="Cleared", cause="why not")
    execution = aws.sfn.describe_execution(executionArn=arn)
    assert (execution["status"], execution["error"], execution["cause"]) == ("ABORTED", "Cleared", "why not")
    assert execution["stopDate"] == stopped["stopDate"]
    assert aws.event_types(arn)[-2:] == ["WaitStateAborted", "ExecutionAborted"]
    assert aws.sfn.stop_execution(executionArn=arn, error="Other")["stopDate"] == stopped["stopDate"]
    assert aws.sfn.describe_execution(executionArn=arn)["error"] == "Cleared"


def test_stop_right_after_the_start(aws: ScriptedAws) -> None:
    """A stop is never too early."""
    machine = aws.machine(LONG)
    for _ in range(20):
        arn = aws.start(machine)
        aws.sfn.stop_execution(executionArn=arn)
        assert aws.sfn.describe_execution(executionArn=arn)["status"] == "ABORTED"


def test_stop_does_not_sit_out_the_delay_of_a_retry(aws: ScriptedAws) -> None:
    """StopExecution ends an execution that waits for its next attempt."""
    retry = [{"ErrorEquals": ["States.ALL"], "IntervalSeconds": 300, "MaxAttempts": 3}]
    arn = aws.start(aws.machine({"Run": aws.task(aws.unique("delay"), {"EXIT_CODE": "1"}, Retry=retry)}))
    aws.until(lambda: aws.event_types(arn), lambda types: "TaskFailed" in types)
    aws.sfn.stop_execution(executionArn=arn)
    assert aws.sfn.describe_execution(executionArn=arn)["status"] == "ABORTED"


# --- lists and pages --------------------------------------------------------------------------------------------------
def test_list_is_newest_first_with_filter_and_pages(aws: ScriptedAws) -> None:
    """Pages do not overlap, and a new execution does not shift the next page."""
    machine = aws.machine(
        {
            "Any": {
                "Type": "Choice",
                "Default": "Done",
                "Choices": [{"Condition": "{% $states.input.fail = true %}", "Next": "No"}],
            },
            "No": {"Type": "Fail"},
            **DONE,
        }
    )
    arns = [aws.start(machine, {"fail": number % 2 == 0}) for number in range(7)]
    for arn in arns:
        aws.end(arn)
    first = aws.sfn.list_executions(stateMachineArn=machine, maxResults=3)
    newer = aws.start(machine)
    aws.end(newer)
    rest: list[dict[str, Any]] = []
    token = first["nextToken"]
    while token:
        page = aws.sfn.list_executions(stateMachineArn=machine, maxResults=3, nextToken=token)
        rest += page["executions"]
        token = page.get("nextToken")
    listed = [item["executionArn"] for item in first["executions"] + rest]
    assert listed == list(reversed(arns))
    failed = aws.sfn.list_executions(stateMachineArn=machine, statusFilter="FAILED")["executions"]
    assert [item["executionArn"] for item in failed] == list(reversed(arns[::2]))
    assert all("stopDate" in item and item["redriveCount"] == 0 for item in failed)
    assert code_of(aws.sfn.list_executions, stateMachineArn=machine, nextToken="broken") == "InvalidToken"


def test_timed_out_executions_have_a_stop_date_in_the_list(aws: ScriptedAws) -> None:
    """TIMED_OUT is an end like the others."""
    machine = aws.machine(LONG, TimeoutSeconds=1)
    aws.end(aws.start(machine))
    (listed,) = aws.sfn.list_executions(stateMachineArn=machine, statusFilter="TIMED_OUT")["executions"]
    assert (listed["stopDate"] - listed["startDate"]).total_seconds() >= 1


def test_history_in_pages_and_reversed(aws: ScriptedAws) -> None:
    """Pages join to the whole; reversed is the same the other way round; data can be left out."""
    arn = aws.run({f"S{n}": {"Type": "Pass", "Next": f"S{n + 1}"} for n in range(5)} | {"S5": {"Type": "Succeed"}})[
        "executionArn"
    ]
    whole = aws.history(arn)
    assert [event["id"] for event in whole] == list(range(1, len(whole) + 1))
    assert whole[0]["type"] == "ExecutionStarted"
    assert all(event["previousEventId"] < event["id"] for event in whole)
    paginator = aws.sfn.get_paginator("get_execution_history")
    pages = list(paginator.paginate(executionArn=arn, PaginationConfig={"PageSize": 4}))
    assert len(pages) > 2
    assert [event for page in pages for event in page["events"]] == whole
    backwards = aws.sfn.get_execution_history(executionArn=arn, reverseOrder=True)["events"]
    assert backwards == list(reversed(whole))
    bare = aws.sfn.get_execution_history(executionArn=arn, includeExecutionData=False)["events"]
    assert bare[1]["stateEnteredEventDetails"]["name"] == "S0"
    assert "input" not in bare[1]["stateEnteredEventDetails"]


# --- state machines ---------------------------------------------------------------------------------------------------
def test_create_is_idempotent(aws: ScriptedAws) -> None:
    """The same request gives the same machine; another definition under its name is StateMachineAlreadyExists."""
    request = {"name": aws.unique("idem"), "roleArn": ROLE_ARN}
    definition = json.dumps({"StartAt": "Done", "States": DONE})
    first = aws.sfn.create_state_machine(definition=definition, **request)
    assert aws.sfn.create_state_machine(definition=definition, **request)["stateMachineArn"] == first["stateMachineArn"]
    other = json.dumps({"StartAt": "Long", "States": LONG})
    assert code_of(aws.sfn.create_state_machine, definition=other, **request) == "StateMachineAlreadyExists"


@pytest.mark.parametrize(
    "states",
    [
        {"P": {"Type": "Pass", "Output": "{% 1 + %}", "End": True}},
        {"P": {"Type": "Pass", "Output": "{% $states.input.x ?? 1 %}", "End": True}},
        {"P": {"Type": "Nonsense", "End": True}},
    ],
    ids=["syntax", "operator", "type"],
)
def test_a_bad_definition_is_refused(aws: ScriptedAws, states: dict[str, Any]) -> None:
    """InvalidDefinition when the machine is made, not when it runs."""
    with pytest.raises(ClientError, match="InvalidDefinition"):
        aws.machine(states)


def test_versions_and_aliases_start_executions(aws: ScriptedAws) -> None:
    """An execution of a version runs the version's definition and is listed under it."""
    machine = aws.machine(DONE)
    version = aws.sfn.update_state_machine(stateMachineArn=machine, roleArn=ROLE_ARN, publish=True)[
        "stateMachineVersionArn"
    ]
    aws.sfn.update_state_machine(
        stateMachineArn=machine, definition=json.dumps({"StartAt": "No", "States": {"No": {"Type": "Fail"}}})
    )
    alias = aws.sfn.create_state_machine_alias(
        name="live", routingConfiguration=[{"stateMachineVersionArn": version, "weight": 100}]
    )["stateMachineAliasArn"]
    assert aws.end(aws.start(machine))["status"] == "FAILED"
    by_version = aws.end(aws.start(version))
    assert (by_version["status"], by_version["stateMachineVersionArn"]) == ("SUCCEEDED", version)
    by_alias = aws.end(aws.start(alias))
    assert (by_alias["status"], by_alias["stateMachineAliasArn"]) == ("SUCCEEDED", alias)
    assert len(aws.sfn.list_executions(stateMachineArn=version)["executions"]) == 2


def test_executions_are_logged_where_the_machine_says(aws: ScriptedAws) -> None:
    """With level ALL every event is a line in the log group, with data when that is asked for."""
    group = "/aws/vendedlogs/states/logged"
    arn = f"arn:aws:logs:us-east-1:123456789012:log-group:{group}:*"
    machine = aws.create(
        json.dumps({"StartAt": "Done", "States": DONE}),
        loggingConfiguration={
            "level": "ALL",
            "includeExecutionData": True,
            "destinations": [{"cloudWatchLogsLogGroup": {"logGroupArn": arn}}],
        },
    )
    execution = aws.end(aws.start(machine, {"a": 1}))
    logs = aws.client("logs")
    (stream,) = logs.describe_log_streams(logGroupName=group)["logStreams"]
    assert stream["logStreamName"].startswith("states/machine-")
    messages = [
        json.loads(event["message"])
        for event in logs.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"])["events"]
    ]
    assert [message["type"] for message in messages] == aws.event_types(execution["executionArn"])
    assert messages[0]["execution_arn"] == execution["executionArn"]
    assert json.loads(messages[0]["details"]["input"]) == {"a": 1}
