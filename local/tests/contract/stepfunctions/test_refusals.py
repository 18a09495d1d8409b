"""A table of calls that AWS refuses: the error's name and message, as its API reference and service have them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from tests.contract.stepfunctions.conftest import ScriptedAws

HEAD = "arn:aws:states:us-east-1:123456789012"
NO_MACHINE = f"{HEAD}:stateMachine:none"
NO_EXECUTION = f"{HEAD}:execution:none:none"
LONG_NAME = "x" * 81
FIRST_CHECKED = "1 validation error detected: Value"

# call, arguments ("MACHINE" and "ENDED" stand for what there is), error name, the beginning of the message
REFUSALS: list[tuple[str, dict[str, Any], str, str]] = [
    (
        "start_execution",
        {"stateMachineArn": NO_MACHINE},
        "StateMachineDoesNotExist",
        f"State Machine Does Not Exist: '{NO_MACHINE}'",
    ),
    ("start_execution", {"stateMachineArn": "none"}, "InvalidArn", "Invalid Arn: 'Invalid ARN prefix: none'"),
    (
        "start_execution",
        {"stateMachineArn": NO_EXECUTION},
        "InvalidArn",
        "Invalid Arn: 'Resource type not valid in this context: execution'",
    ),
    ("start_execution", {"stateMachineArn": "MACHINE", "name": "a b"}, "InvalidName", "Invalid Name: 'a b'"),
    (
        "start_execution",
        {"stateMachineArn": "MACHINE", "name": LONG_NAME},
        "ValidationException",
        f"{FIRST_CHECKED} '{LONG_NAME}' at 'name' failed",
    ),
    (
        "start_execution",
        {"stateMachineArn": "MACHINE", "input": "{"},
        "InvalidExecutionInput",
        "Invalid State Machine Execution Input: '",
    ),
    (
        "start_execution",
        {"stateMachineArn": "MACHINE", "input": '"' + "x" * 262_144 + '"'},
        "ValidationException",
        f"{FIRST_CHECKED} at 'input' failed",
    ),
    (
        "start_execution",
        {"stateMachineArn": "MACHINE", "name": "ended"},
        "ExecutionAlreadyExists",
        "Execution Already Exists: 'ENDED'",
    ),
    (
        "describe_execution",
        {"executionArn": NO_EXECUTION},
        "ExecutionDoesNotExist",
        f"Execution Does Not Exist: '{NO_EXECUTION}'",
    ),
    ("describe_execution", {"executionArn": "none"}, "InvalidArn", "Invalid Arn: 'Invalid ARN prefix: none'"),
    (
        "describe_execution",
        {"executionArn": "MACHINE"},
        "InvalidArn",
        "Invalid Arn: 'Resource type not valid in this context: stateMachine'",
    ),
    (
        "stop_execution",
        {"executionArn": NO_EXECUTION},
        "ExecutionDoesNotExist",
        f"Execution Does Not Exist: '{NO_EXECUTION}'",
    ),
    (
        "redrive_execution",
        {"executionArn": NO_EXECUTION},
        "ExecutionDoesNotExist",
        f"Execution Does Not Exist: '{NO_EXECUTION}'",
    ),
    (
        "redrive_execution",
        {"executionArn": "ENDED"},
        "ExecutionNotRedrivable",
        "Execution is SUCCEEDED and cannot be redriven",
    ),
    (
        "get_execution_history",
        {"executionArn": NO_EXECUTION},
        "ExecutionDoesNotExist",
        f"Execution Does Not Exist: '{NO_EXECUTION}'",
    ),
    (
        "get_execution_history",
        {"executionArn": "ENDED", "nextToken": "?"},
        "InvalidToken",
        "Invalid Token: 'Invalid token'",
    ),
    (
        "get_execution_history",
        {"executionArn": "ENDED", "maxResults": 1001},
        "ValidationException",
        f"{FIRST_CHECKED} '1001' at 'maxResults' failed",
    ),
    (
        "describe_state_machine_for_execution",
        {"executionArn": NO_EXECUTION},
        "ExecutionDoesNotExist",
        f"Execution Does Not Exist: '{NO_EXECUTION}'",
    ),
    (
        "list_executions",
        {"stateMachineArn": NO_MACHINE},
        "StateMachineDoesNotExist",
        f"State Machine Does Not Exist: '{NO_MACHINE}'",
    ),
    ("list_executions", {"stateMachineArn": "none"}, "InvalidArn", "Invalid Arn: 'Invalid ARN prefix: none'"),
    (
        "list_executions",
        {"stateMachineArn": "MACHINE", "nextToken": "?"},
        "InvalidToken",
        "Invalid Token: 'Invalid token'",
    ),
    (
        "list_executions",
        {"stateMachineArn": "EXPRESS"},
        "StateMachineTypeNotSupported",
        "This operation is not supported by this type of state machine",
    ),
    (
        "describe_state_machine",
        {"stateMachineArn": NO_MACHINE},
        "StateMachineDoesNotExist",
        f"State Machine Does Not Exist: '{NO_MACHINE}'",
    ),
]


@pytest.fixture(scope="module")
def known(aws: ScriptedAws) -> dict[str, str]:
    """What the words of the table stand for."""
    definition = '{"StartAt": "S", "States": {"S": {"Type": "Succeed"}}}'
    machine = aws.create(definition)
    ended = aws.start(machine, name="ended")
    aws.end(ended)
    return {"MACHINE": machine, "ENDED": ended, "EXPRESS": aws.create(definition, type="EXPRESS")}


@pytest.mark.parametrize(("call", "arguments", "code", "message"), REFUSALS)
def test_a_refusal_has_the_name_and_the_words_of_aws(
    aws: ScriptedAws, known: dict[str, str], call: str, arguments: dict[str, Any], code: str, message: str
) -> None:
    """Both, and status 400, so that clients' exception classes and people's searches find it."""
    values = {name: known.get(value, value) if isinstance(value, str) else value for name, value in arguments.items()}
    operation: Callable[..., Any] = getattr(aws.sfn, call)
    with pytest.raises(ClientError) as caught:
        operation(**values)
    response: Any = caught.value.response
    expected = re.sub("MACHINE|ENDED", lambda word: known[word[0]], message)
    assert (response["Error"]["Code"], response["Error"]["Message"][: len(expected)]) == (code, expected)
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 400
