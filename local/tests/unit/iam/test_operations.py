"""The permissions that operations take."""

from __future__ import annotations

from typing import Any

import pytest

from stepbridge_local.http.api_call import ApiCall, credential_of, error_answer, operation_of_target
from stepbridge_local.protocols import ServiceError
from stepbridge_local.services.iam.operations import needs_of
from stepbridge_local.services.iam.policy import ANY_RESOURCE
from stepbridge_local.services.iam.s3_operations import S3Request, s3_needs

STATES = "arn:aws:states:us-east-1:123456789012"
ROLE = "arn:aws:iam::123456789012:role/r"


def needs(asked: str, region: str = "us-east-1", /, **members: Any) -> list[tuple[str, str]]:
    service, _, operation = asked.partition(":")
    call = ApiCall(service, operation, region, "123456789012", "POST")
    return [(need.action, need.resource) for need in needs_of(call, members)]


@pytest.mark.parametrize(
    ("name", "members", "resource"),
    [
        ("states:StartExecution", {"stateMachineArn": f"{STATES}:stateMachine:m"}, f"{STATES}:stateMachine:m"),
        ("states:ListExecutions", {"stateMachineArn": f"{STATES}:stateMachine:m"}, f"{STATES}:stateMachine:m"),
        ("states:StopExecution", {"executionArn": f"{STATES}:execution:m:e"}, f"{STATES}:execution:m:e"),
        ("states:GetExecutionHistory", {"executionArn": f"{STATES}:execution:m:e"}, f"{STATES}:execution:m:e"),
        ("states:ListStateMachines", {}, f"{STATES}:stateMachine:*"),
        (
            "sagemaker:DescribeProcessingJob",
            {"ProcessingJobName": "j"},
            "arn:aws:sagemaker:us-east-1:123456789012:processing-job/j",
        ),
        ("sagemaker:ListProcessingJobs", {}, "*"),
        ("codebuild:ListBuildsForProject", {"projectName": "p"}, "arn:aws:codebuild:us-east-1:123456789012:project/p"),
        ("codebuild:BatchGetBuilds", {"ids": ["p:1", "p:2"]}, "arn:aws:codebuild:us-east-1:123456789012:project/p"),
        ("codebuild:StopBuild", {"id": "p:1"}, "arn:aws:codebuild:us-east-1:123456789012:project/p"),
        ("ecr:GetAuthorizationToken", {}, "*"),
        (
            "sqs:ReceiveMessage",
            {"QueueUrl": "http://127.0.0.1:4566/123456789012/q"},
            "arn:aws:sqs:us-east-1:123456789012:q",
        ),
        ("events:PutTargets", {"Rule": "r"}, "arn:aws:events:us-east-1:123456789012:rule/r"),
        ("events:PutRule", {"Name": "r", "EventBusName": "b"}, "arn:aws:events:us-east-1:123456789012:rule/b/r"),
        ("sns:Publish", {"TopicArn": "arn:aws:sns:us-east-1:123456789012:t"}, "arn:aws:sns:us-east-1:123456789012:t"),
        ("ecr:DescribeImages", {"repositoryName": "a/b"}, "arn:aws:ecr:us-east-1:123456789012:repository/a/b"),
        (
            "ecr:BatchGetImage",
            {"repositoryName": "r", "registryId": "111111111111"},
            "arn:aws:ecr:us-east-1:111111111111:repository/r",
        ),
        (
            "logs:GetLogEvents",
            {"logGroupName": "/g", "logStreamName": "s"},
            "arn:aws:logs:us-east-1:123456789012:log-group:/g:log-stream:s",
        ),
        (
            "logs:FilterLogEvents",
            {"logGroupName": "/g"},
            "arn:aws:logs:us-east-1:123456789012:log-group:/g:log-stream:",
        ),
        ("iam:GetRole", {"RoleName": "r"}, ROLE),
        ("iam:CreateRole", {"RoleName": "r", "Path": "/a/"}, "arn:aws:iam::123456789012:role/a/r"),
        (
            "cloudformation:DescribeStacks",
            {"StackName": "s"},
            "arn:aws:cloudformation:us-east-1:123456789012:stack/s/*",
        ),
        ("sns:ListTopics", {}, ANY_RESOURCE),
    ],
)
def test_action_and_resource(name: str, members: dict[str, Any], resource: str) -> None:
    """Each operation's own action on the resource that it names."""
    assert needs(name, **members) == [(name, resource)]


def test_several_resources_need_several_permissions() -> None:
    """Each of them."""
    assert [resource for _, resource in needs("codebuild:BatchGetProjects", names=["a", "b"])] == [
        "arn:aws:codebuild:us-east-1:123456789012:project/a",
        "arn:aws:codebuild:us-east-1:123456789012:project/b",
    ]
    assert len(needs("ecr:DescribeRepositories", repositoryNames=["a", "b"])) == 2


def test_roles_that_are_handed_over_are_passed() -> None:
    """iam:PassRole, for the service that gets it; and tags are added."""
    job = {"ProcessingJobName": "j", "RoleArn": ROLE, "Tags": [{"Key": "k", "Value": "v"}]}
    arn = "arn:aws:sagemaker:us-east-1:123456789012:processing-job/j"
    assert needs("sagemaker:CreateProcessingJob", **job) == [
        ("sagemaker:CreateProcessingJob", arn),
        ("sagemaker:AddTags", arn),
        ("iam:PassRole", ROLE),
    ]
    assert needs("states:CreateStateMachine", name="m", roleArn=ROLE)[1] == ("iam:PassRole", ROLE)
    assert needs("codebuild:CreateProject", name="p", serviceRole=ROLE)[1] == ("iam:PassRole", ROLE)
    assert needs("cloudformation:CreateStack", StackName="s", RoleARN=ROLE)[1] == ("iam:PassRole", ROLE)
    assert needs("codebuild:StartBuild", projectName="p") == [
        ("codebuild:StartBuild", "arn:aws:codebuild:us-east-1:123456789012:project/p")
    ]


def test_who_one_is_needs_no_permission() -> None:
    """As on AWS."""
    assert needs("sts:GetCallerIdentity") == []


def test_partitions() -> None:
    """China has ARNs of its own."""
    assert needs("states:ListStateMachines", "cn-north-1")[0][1].startswith("arn:aws-cn:states:cn-north-1:")


@pytest.mark.parametrize(
    ("operation", "key", "query", "wanted"),
    [
        ("ListBuckets", "", {}, [("s3:ListAllMyBuckets", "*")]),
        ("ListObjectsV2", "", {"prefix": "a"}, [("s3:ListBucket", "arn:aws:s3:::b")]),
        ("HeadBucket", "", {}, [("s3:ListBucket", "arn:aws:s3:::b")]),
        ("HeadObject", "k", {}, [("s3:GetObject", "arn:aws:s3:::b/k")]),
        ("GetObject", "k", {"versionId": "1"}, [("s3:GetObjectVersion", "arn:aws:s3:::b/k")]),
        ("DeleteObject", "k", {}, [("s3:DeleteObject", "arn:aws:s3:::b/k")]),
        ("CreateMultipartUpload", "k", {}, [("s3:PutObject", "arn:aws:s3:::b/k")]),
        ("UploadPart", "k", {}, [("s3:PutObject", "arn:aws:s3:::b/k")]),
        ("CompleteMultipartUpload", "k", {}, [("s3:PutObject", "arn:aws:s3:::b/k")]),
        ("AbortMultipartUpload", "k", {}, [("s3:AbortMultipartUpload", "arn:aws:s3:::b/k")]),
        ("GetBucketLocation", "", {}, [("s3:GetBucketLocation", "arn:aws:s3:::b")]),
        ("GetBucketEncryption", "", {}, [("s3:GetEncryptionConfiguration", "arn:aws:s3:::b")]),
        ("PutBucketPolicy", "", {}, [("s3:PutBucketPolicy", "arn:aws:s3:::b")]),
    ],
)
def test_s3(operation: str, key: str, query: dict[str, str], wanted: list[tuple[str, str]]) -> None:
    """S3's actions are named otherwise than its operations."""
    found = s3_needs(S3Request(operation, "aws", "b", key, query, {}))
    assert [(need.action, need.resource) for need in found] == wanted


def test_s3_copies_read_their_source_and_deletes_name_their_keys() -> None:
    """Two permissions for a copy, one for each key that is deleted; conditions come from headers and query."""
    copy = s3_needs(S3Request("CopyObject", "aws", "b", "k", {}, {"x-amz-copy-source": "/other/a%20b?versionId=3"}))
    assert [(need.action, need.resource) for need in copy] == [
        ("s3:PutObject", "arn:aws:s3:::b/k"),
        ("s3:GetObjectVersion", "arn:aws:s3:::other/a b"),
    ]
    deleted = s3_needs(S3Request("DeleteObjects", "aws", "b", "", {}, {}, (("x", ""), ("y", "1"))))
    assert [(need.action, need.resource) for need in deleted] == [
        ("s3:DeleteObject", "arn:aws:s3:::b/x"),
        ("s3:DeleteObjectVersion", "arn:aws:s3:::b/y"),
    ]
    (listing,) = s3_needs(S3Request("ListObjectsV2", "aws", "b", "", {"prefix": "p/", "max-keys": "5"}, {}))
    assert listing.context == {"s3:prefix": ("p/",), "s3:max-keys": ("5",)}


def test_who_signed_a_request() -> None:
    """The header's credential scope, or that of a presigned address; nobody for an unsigned one."""
    header = (
        "AWS4-HMAC-SHA256 Credential=AKIA1/20300101/eu-west-1/monitoring/aws4_request, SignedHeaders=host, Signature=0"
    )
    signed = credential_of(header, "")
    assert signed is not None
    assert (signed.access_key_id, signed.region, signed.service) == ("AKIA1", "eu-west-1", "cloudwatch")
    presigned = credential_of("", "X-Amz-Credential=AKIA2%2F20300101%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=x")
    assert presigned is not None
    assert (presigned.access_key_id, presigned.service) == ("AKIA2", "s3")
    assert credential_of("", "X-Amz-Credential=nonsense") is None
    assert credential_of("", "list-type=2") is None
    assert operation_of_target("AWSStepFunctions.StartExecution") == ("states", "StartExecution")


def test_errors_are_escaped_and_have_no_body_for_head() -> None:
    """In each protocol."""
    fault = ServiceError("Bad<Code>", 'a & "b"', 403)
    for service in ("s3", "iam"):
        _, _, body = error_answer(ApiCall(service, "X", "us-east-1", "1", "GET"), fault)
        assert b"Bad&lt;Code&gt;" in body
        assert b"a &amp; " in body
    status, headers, body = error_answer(ApiCall("s3", "X", "us-east-1", "1", "HEAD"), fault)
    assert (status, body, dict(headers)["Content-Length"]) == ("403 Forbidden", b"", "0")


def test_a_batch_of_messages_takes_the_permission_of_one() -> None:
    """SQS has no permissions of batches."""
    url = "https://sqs.us-east-1.amazonaws.com/123456789012/q"
    arn = "arn:aws:sqs:us-east-1:123456789012:q"
    assert needs("sqs:DeleteMessageBatch", QueueUrl=url) == [("sqs:DeleteMessage", arn)]
    assert needs("sqs:ChangeMessageVisibilityBatch", QueueUrl=url) == [("sqs:ChangeMessageVisibility", arn)]
