"""What AWS answers with 400 is answered with 400: bodies that no service can read, and members that are missing."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError

from stepbridge_local.testing import LocalAwsProcess

OPERATIONS = [
    ("states", "AWSStepFunctions.CreateStateMachine"),
    ("states", "AWSStepFunctions.StartExecution"),
    ("states", "AWSStepFunctions.DescribeExecution"),
    ("sagemaker", "SageMaker.CreateProcessingJob"),
    ("sagemaker", "SageMaker.DescribeProcessingJob"),
    ("codebuild", "CodeBuild_20161006.CreateProject"),
    ("codebuild", "CodeBuild_20161006.StartBuild"),
    ("codebuild", "CodeBuild_20161006.BatchGetBuilds"),
    ("logs", "Logs_20140328.PutLogEvents"),
    ("logs", "Logs_20140328.GetLogEvents"),
    ("ecr", "AmazonEC2ContainerRegistry_V20150921.PutImage"),
    ("sqs", "AmazonSQS.SendMessage"),
    ("events", "AWSEvents.PutRule"),
]
BODIES = [b"{", b"[]", b'"x"', b"null", b"{}", b"", b"\xff\xfe", b"[" * 100_000, b'{"a": NaN']


NUMBERS = ["NaN", "Infinity", "-Infinity", "1e400", "1e20", "-1e20", "1" + "0" * 30]
NO_QUEUE = "http://127.0.0.1/123456789012/none"
MEMBERS = [
    ("logs", "Logs_20140328.DescribeLogGroups", '{"limit": %s}'),
    ("logs", "Logs_20140328.FilterLogEvents", '{"logGroupName": "g", "startTime": %s}'),
    ("events", "AWSEvents.PutEvents", '{"Entries": [{"Source": "a", "DetailType": "b", "Detail": "{}", "Time": %s}]}'),
    ("sagemaker", "SageMaker.ListProcessingJobs", '{"MaxResults": %s}'),
    ("sagemaker", "SageMaker.ListProcessingJobs", '{"CreationTimeAfter": %s}'),
    ("states", "AWSStepFunctions.ListStateMachines", '{"maxResults": %s}'),
    ("states", "AWSStepFunctions.DescribeExecution", '{"executionArn": %s}'),
    ("ecr", "AmazonEC2ContainerRegistry_V20150921.DescribeRepositories", '{"maxResults": %s}'),
    ("sqs", "AmazonSQS.ListQueues", '{"MaxResults": %s}'),
    ("sqs", "AmazonSQS.ListDeadLetterSourceQueues", '{"QueueUrl": "' + NO_QUEUE + '", "MaxResults": %s}'),
    ("sqs", "AmazonSQS.ReceiveMessage", '{"QueueUrl": "' + NO_QUEUE + '", "MaxNumberOfMessages": %s}'),
    ("sqs", "AmazonSQS.ReceiveMessage", '{"QueueUrl": "' + NO_QUEUE + '", "WaitTimeSeconds": %s}'),
    ("sqs", "AmazonSQS.SendMessage", '{"QueueUrl": "' + NO_QUEUE + '", "MessageBody": "m", "DelaySeconds": %s}'),
    (
        "sqs",
        "AmazonSQS.ChangeMessageVisibility",
        '{"QueueUrl": "' + NO_QUEUE + '", "ReceiptHandle": "r", "VisibilityTimeout": %s}',
    ),
    ("codebuild", "CodeBuild_20161006.ListBuilds", '{"nextToken": %s}'),
]


@pytest.mark.parametrize(("service", "target", "body"), MEMBERS, ids=[" ".join(row[1:]) for row in MEMBERS])
def test_a_number_that_is_none_or_too_large_is_the_clients_error(
    local_aws: LocalAwsProcess, service: str, target: str, body: str
) -> None:
    """NaN and Infinity are no JSON; the others fit into no type of the service."""
    for number in NUMBERS:
        status, text = answer_to(local_aws, service, target, (body % number).encode())
        assert status == 400, (number, text)
        assert json.loads(text)["__type"]


@pytest.mark.parametrize(("service", "target"), OPERATIONS, ids=[target for _, target in OPERATIONS])
def test_a_body_that_says_nothing_is_the_clients_error(local_aws: LocalAwsProcess, service: str, target: str) -> None:
    """400 with the name of an exception, never a 500 that clients send again."""
    for body in BODIES:
        status, text = answer_to(local_aws, service, target, body)
        assert status == 400, (body[:20], text)
        assert json.loads(text)["__type"]


def answer_to(local_aws: LocalAwsProcess, service: str, target: str, body: bytes) -> tuple[int, bytes]:
    parts = urlsplit(local_aws.endpoint_url)
    scope = f"x/20260101/us-east-1/{service}/aws4_request"
    headers = {
        "X-Amz-Target": target,
        "Content-Type": "application/x-amz-json-1.1",
        "Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0",
    }
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=60)
    connection.request("POST", "/", body, headers)
    answer = connection.getresponse()
    return answer.status, answer.read()


@pytest.mark.parametrize(
    ("definition", "text"),
    [
        ({"StartAt": "A", "States": {"A": {"Type": "Pass", "Next": "Z"}}}, "Missing 'Next' target: Z"),
        ({"StartAt": "A", "States": {"A": {"Type": "Pass"}}}, "SCHEMA_VALIDATION_FAILED"),
        (
            {
                "QueryLanguage": "JSONata",
                "StartAt": "A",
                "States": {"A": {"Type": "Pass", "Output": "{% 1 + %}", "End": True}},
            },
            "is not valid",
        ),
    ],
    ids=["target", "end", "jsonata"],
)
def test_a_state_machine_that_leads_nowhere(client: Callable[..., Any], definition: dict[str, Any], text: str) -> None:
    """InvalidDefinition when it is made, and when one is changed to it."""
    states = client("stepfunctions")
    role = "arn:aws:iam::123456789012:role/any"
    with pytest.raises(ClientError, match="InvalidDefinition") as caught:
        states.create_state_machine(name="leads-nowhere", definition=json.dumps(definition), roleArn=role)
    assert text in str(caught.value)


WORDS = ["x", "", "-1", "1.5", "NaN", "1e20", "9" * 30]


@pytest.mark.parametrize(
    "attribute",
    [
        "DelaySeconds",
        "MaximumMessageSize",
        "MessageRetentionPeriod",
        "ReceiveMessageWaitTimeSeconds",
        "VisibilityTimeout",
    ],
)
def test_an_attribute_of_a_queue_that_is_no_number_in_range(
    client: Callable[..., Any], name: str, attribute: str
) -> None:
    """InvalidAttributeValue when a queue is made and when it is changed; it keeps what it had."""
    sqs = client("sqs")
    queue = sqs.create_queue(QueueName=name)["QueueUrl"]
    before = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=[attribute])["Attributes"]
    for word in WORDS:
        with pytest.raises(ClientError) as refused:
            sqs.create_queue(QueueName=f"{name}-other", Attributes={attribute: word})
        assert refused.value.response["Error"]["Code"] == "InvalidAttributeValue", word
        with pytest.raises(ClientError) as refused:
            sqs.set_queue_attributes(QueueUrl=queue, Attributes={attribute: word})
        assert refused.value.response["Error"]["Code"] == "InvalidAttributeValue", word
    assert sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=[attribute])["Attributes"] == before


@pytest.mark.parametrize(
    ("operation", "members"),
    [
        ("receive_message", {"MaxNumberOfMessages": 0}),
        ("receive_message", {"MaxNumberOfMessages": 11}),
        ("receive_message", {"WaitTimeSeconds": -1}),
        ("receive_message", {"WaitTimeSeconds": 21}),
        ("receive_message", {"VisibilityTimeout": -1}),
        ("receive_message", {"VisibilityTimeout": 43201}),
        ("send_message", {"MessageBody": "m", "DelaySeconds": -1}),
        ("send_message", {"MessageBody": "m", "DelaySeconds": 901}),
        ("list_dead_letter_source_queues", {"MaxResults": 1001}),
    ],
)
def test_a_number_that_sqs_does_not_take(
    client: Callable[..., Any], name: str, operation: str, members: dict[str, Any]
) -> None:
    """An error of the client; no message is sent and none is received."""
    sqs = client("sqs")
    queue = sqs.create_queue(QueueName=name)["QueueUrl"]
    with pytest.raises(ClientError) as refused:
        getattr(sqs, operation)(QueueUrl=queue, **members)
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert refused.value.response["Error"]["Code"] in ("InvalidParameterValue", "ReadCountOutOfRange")
    counted = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["ApproximateNumberOfMessages"])["Attributes"]
    assert counted == {"ApproximateNumberOfMessages": "0"}
