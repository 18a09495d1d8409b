"""Express workflows, and the operations that clients send to an address that begins with ``sync-``."""

from __future__ import annotations

import http.client
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from tests.contract.stepfunctions.conftest import ScriptedAws

QUEUE = "arn:aws:states:::aws-sdk:sqs:getQueueUrl"
MISSING = {"Type": "Task", "Resource": QUEUE, "Parameters": {"QueueName": "none"}, "End": True}
ALL = ["States.ALL"]
HEAD = "arn:aws:states:us-east-1:123456789012"


@pytest.fixture(scope="module")
def sync(aws: ScriptedAws) -> Any:
    """A client that does not change the host name, as AWS_DISABLE_HOST_PREFIX_INJECTION makes all clients."""
    return boto3.client(
        "stepfunctions",
        region_name="us-east-1",
        endpoint_url=aws.endpoint_url,
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(inject_host_prefix=False),
    )


def machine(aws: ScriptedAws, state: dict[str, Any], kind: str = "EXPRESS") -> str:
    return aws.create(json.dumps({"StartAt": "A", "States": {"A": state}}), type=kind)


def test_a_synchronous_execution(aws: ScriptedAws, sync: Any) -> None:
    """Its output, or its error and cause, and an ARN of an Express workflow."""
    arn = machine(aws, {"Type": "Pass", "Result": [1], "End": True})
    found = sync.start_sync_execution(stateMachineArn=arn, name="once", input='{"q": 1}')
    assert (found["status"], found["output"], found["input"]) == ("SUCCEEDED", "[1]", '{"q": 1}')
    assert found["executionArn"].startswith(arn.replace(":stateMachine:", ":express:") + ":once:")
    assert found["billingDetails"]["billedMemoryUsedInMB"] > 0
    failing = machine(aws, {"Type": "Fail", "Error": "Bad", "Cause": "why"})
    failed = sync.start_sync_execution(stateMachineArn=failing)
    assert (failed["status"], failed["error"], failed["cause"]) == ("FAILED", "Bad", "why")
    bare = sync.start_sync_execution(stateMachineArn=arn, includedData="METADATA_ONLY")
    assert not {"input", "output"} & bare.keys()


def test_standard_workflows_have_no_synchronous_executions(aws: ScriptedAws, sync: Any) -> None:
    """StateMachineTypeNotSupported."""
    arn = machine(aws, {"Type": "Succeed"}, "STANDARD")
    with pytest.raises(sync.exceptions.StateMachineTypeNotSupported):
        sync.start_sync_execution(stateMachineArn=arn)


def test_executions_of_express_workflows_have_arns_of_their_own(aws: ScriptedAws) -> None:
    """Several can have one name, and none can be described."""
    arn = machine(aws, {"Type": "Succeed"})
    first, second = (aws.start(arn, name="same") for _ in range(2))
    assert first != second
    assert first.startswith(arn.replace(":stateMachine:", ":express:") + ":same:")
    for call in ("describe_execution", "get_execution_history", "stop_execution", "redrive_execution"):
        with pytest.raises(ClientError, match="Invalid Arn: 'Resource type not valid in this context: express'"):
            getattr(aws.sfn, call)(executionArn=first)


@pytest.mark.parametrize(
    ("host", "status"),
    [("sync-127.0.0.1", 200), ("sync-localhost", 200), ("sync-aws.localhost", 200), ("sync-evil.example", 403)],
)
def test_the_address_that_clients_make(aws: ScriptedAws, host: str, status: int) -> None:
    """``sync-`` before a name of the local AWS is a name of it too."""
    parts = urlsplit(aws.endpoint_url)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=60)
    connection.request("GET", "/_stepbridge/health", headers={"Host": f"{host}:{parts.port}"})
    assert connection.getresponse().status == status


def test_a_task_starts_a_synchronous_execution(aws: ScriptedAws) -> None:
    """``aws-sdk:sfn:startSyncExecution``."""
    inner = machine(aws, {"Type": "Pass", "Result": 5, "End": True})
    resource = "arn:aws:states:::aws-sdk:sfn:startSyncExecution"
    task = {"Type": "Task", "Resource": resource, "Arguments": {"StateMachineArn": inner}, "End": True}
    assert aws.output({"T": task})["Output"] == "5"


@pytest.mark.parametrize(
    ("state", "request_members", "expected"),
    [
        ({"Type": "Pass", "Result": 1, "Next": "B"}, {}, {"status": "SUCCEEDED", "output": "1", "nextState": "B"}),
        ({"Type": "Pass", "Result": 1, "End": True}, {}, {"status": "SUCCEEDED", "output": "1"}),
        (
            {"Type": "Choice", "Choices": [{"Variable": "$.a", "NumericEquals": 1, "Next": "X"}], "Default": "Y"},
            {"input": '{"a": 2}'},
            {"status": "SUCCEEDED", "output": '{"a":2}', "nextState": "Y"},
        ),
        ({"Type": "Fail", "Error": "E", "Cause": "c"}, {}, {"status": "FAILED", "error": "E", "cause": "c"}),
        (MISSING, {}, {"status": "FAILED", "error": "Sqs.QueueDoesNotExistException"}),
        ({**MISSING, "Retry": [{"ErrorEquals": ALL}]}, {}, {"status": "RETRIABLE"}),
        (
            {**MISSING, "Catch": [{"ErrorEquals": ALL, "Next": "H"}]},
            {},
            {"status": "CAUGHT_ERROR", "nextState": "H", "error": "Sqs.QueueDoesNotExistException"},
        ),
        (
            {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "ResultPath": "$.r", "Next": "N"},
            {"mock": {"result": '{"Payload": 1}'}, "input": '{"i": 1}'},
            {"status": "SUCCEEDED", "output": '{"i":1,"r":{"Payload":1}}', "nextState": "N"},
        ),
        (
            {**MISSING, "Catch": [{"ErrorEquals": ["Q"], "Next": "H"}]},
            {"mock": {"errorOutput": {"error": "Q", "cause": "c"}}},
            {"status": "CAUGHT_ERROR", "nextState": "H", "error": "Q", "cause": "c"},
        ),
        (
            {"Type": "Pass", "QueryLanguage": "JSONata", "Output": "{% $v + $states.input.a %}", "End": True},
            {"input": '{"a": 1}', "variables": '{"v": 5}'},
            {"status": "SUCCEEDED", "output": "6"},
        ),
        (
            {"StartAt": "A", "States": {"A": {"Type": "Pass", "Next": "B"}, "B": {"Type": "Pass", "End": True}}},
            {"stateName": "A", "input": "3"},
            {"status": "SUCCEEDED", "output": "3", "nextState": "B"},
        ),
    ],
)
def test_a_state_is_tested_alone(
    sync: Any, state: dict[str, Any], request_members: dict[str, Any], expected: dict[str, str]
) -> None:
    """Status, output and next state; errors that a retrier or catcher would handle are named as such."""
    found = sync.test_state(definition=json.dumps(state), roleArn="arn:aws:iam::123456789012:role/r", **request_members)
    assert {name: found.get(name) for name in expected} == expected


def test_the_steps_of_a_state_are_inspected(sync: Any) -> None:
    """Each with its result, with DEBUG."""
    state = {
        "Type": "Task",
        "Resource": QUEUE,
        "InputPath": "$.in",
        "Parameters": {"QueueName.$": "$.q"},
        "ResultSelector": {"u.$": "$.QueueUrl"},
        "ResultPath": "$.out",
        "End": True,
    }
    found = sync.test_state(
        definition=json.dumps(state),
        input='{"in": {"q": "x"}}',
        inspectionLevel="DEBUG",
        mock={"result": '{"QueueUrl": "u"}'},
    )["inspectionData"]
    assert {name: json.loads(value) for name, value in found.items()} == {
        "input": {"in": {"q": "x"}},
        "afterInputPath": {"q": "x"},
        "afterParameters": {"QueueName": "x"},
        "result": {"QueueUrl": "u"},
        "afterResultSelector": {"u": "u"},
        "afterResultPath": {"in": {"q": "x"}, "out": {"u": "u"}},
    }


def test_an_invalid_state_is_refused(sync: Any) -> None:
    """As an invalid definition, with the field."""
    with pytest.raises(sync.exceptions.InvalidDefinition, match="Field 'Foo' is not supported"):
        sync.test_state(definition='{"Type": "Pass", "Foo": 1}')
