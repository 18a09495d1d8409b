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


@pytest.mark.parametrize(("service", "target"), OPERATIONS, ids=[target for _, target in OPERATIONS])
def test_a_body_that_says_nothing_is_the_clients_error(local_aws: LocalAwsProcess, service: str, target: str) -> None:
    """400 with the name of an exception, never a 500 that clients send again."""
    parts = urlsplit(local_aws.endpoint_url)
    scope = f"x/20260101/us-east-1/{service}/aws4_request"
    headers = {
        "X-Amz-Target": target,
        "Content-Type": "application/x-amz-json-1.1",
        "Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0",
    }
    for body in BODIES:
        connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=60)
        connection.request("POST", "/", body, headers)
        answer = connection.getresponse()
        text = answer.read()
        assert answer.status == 400, (body[:20], text)
        assert json.loads(text)["__type"]


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
