"""Members that break a constraint of a service's model: refused with that service's error, not stored."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from stepbridge_local.testing import LocalAwsProcess

ROLE = "arn:aws:iam::123456789012:role/any"
TRUST = json.dumps({"Version": "2012-10-17", "Statement": []})
MACHINE = json.dumps({"StartAt": "A", "States": {"A": {"Type": "Pass", "End": True}}})
TEMPLATE = json.dumps({"Resources": {"Queue": {"Type": "AWS::SQS::Queue"}}})
GROUP = "refused-members"
STATES_PLACE = "arn:aws:states:us-east-1:123456789012:stateMachine:missing"
Row = tuple[str, str, dict[str, Any]]  # service, operation, members


def project(name: str, **members: Any) -> Row:
    return (
        "codebuild",
        "create_project",
        {
            "name": name,
            "source": {"type": "NO_SOURCE", "buildspec": "version: 0.2\nphases: {build: {commands: [ls]}}\n"},
            "artifacts": {"type": "NO_ARTIFACTS"},
            "environment": {
                "type": "LINUX_CONTAINER",
                "image": "aws/codebuild/standard:7.0",
                "computeType": "BUILD_GENERAL1_SMALL",
            },
            "serviceRole": ROLE,
            **members,
        },
    )


def rows(service: str, operation: str, member: str, values: list[Any], **others: Any) -> list[Row]:
    return [(service, operation, {**others, member: value}) for value in values]


STREAM = {"logGroupName": GROUP}
REFUSED: dict[str, list[Row]] = {
    "400 InvalidParameterException": [
        *rows("logs", "create_log_group", "logGroupName", ["", "n" * 513, "a b", "a:b", "a*b", "ü", "a\n"]),
        *rows("logs", "create_log_stream", "logStreamName", ["", "n" * 513, "a:b", "a*b"], **STREAM),
        *rows("logs", "describe_log_groups", "limit", [0, 51]),
        *rows("logs", "describe_log_streams", "orderBy", ["Name"], **STREAM),
        *rows(
            "logs", "put_log_events", "logEvents", [[], [{"timestamp": 1, "message": ""}]], logStreamName="s", **STREAM
        ),
        *rows(
            "logs", "put_log_events", "logEvents", [[{"timestamp": -1, "message": "m"}]], logStreamName="s", **STREAM
        ),
        *rows("logs", "create_log_group", "tags", [{"a*": "v"}, {"a": "v" * 257}], logGroupName="tagged"),
        ("logs", "create_log_stream", STREAM),
        *rows(
            "ecr", "create_repository", "repositoryName", ["", "a", "UP", "a//b", "-a", "a_", "a" * 257, "a b", "a/"]
        ),
        *rows("ecr", "create_repository", "imageTagMutability", ["SOMETIMES"], repositoryName="refused"),
        *rows("ecr", "describe_repositories", "maxResults", [0, 1001]),
        *rows("ecr", "describe_repositories", "repositoryNames", [["Upper"]]),
        *rows("ecr", "list_images", "registryId", ["1", "x" * 12], repositoryName="refused"),
    ],
    "400 ValidationError": [
        *rows("iam", "create_role", "RoleName", ["", "r" * 65, "a b", "a/b", "a:b"], AssumeRolePolicyDocument=TRUST),
        *rows(
            "iam",
            "create_role",
            "Path",
            ["x", "/a", "//", "/" + "a" * 512 + "/"],
            AssumeRolePolicyDocument=TRUST,
            RoleName="r",
        ),
        *rows(
            "iam", "create_role", "MaxSessionDuration", [0, 3599, 43201], AssumeRolePolicyDocument=TRUST, RoleName="r"
        ),
        *rows("iam", "create_role", "AssumeRolePolicyDocument", ["", "\u4e00"], RoleName="r"),
        *rows(
            "iam",
            "create_role",
            "Tags",
            [[{"Key": "", "Value": "v"}], [{"Key": "k*", "Value": "v"}]],
            RoleName="r",
            AssumeRolePolicyDocument=TRUST,
        ),
        *rows("iam", "create_user", "UserName", ["", "u" * 65, "a b", "a/b"]),
        *rows("iam", "create_policy", "PolicyName", ["", "p" * 129, "a b"], PolicyDocument=TRUST),
        *rows("iam", "list_roles", "MaxItems", [0, 1001]),
        *rows("iam", "get_role", "RoleName", ["a b"]),
        *rows("sts", "assume_role", "RoleSessionName", ["", "a", "a b", "s" * 65], RoleArn=ROLE),
        *rows("sts", "assume_role", "DurationSeconds", [0, 899, 43201], RoleArn=ROLE, RoleSessionName="session"),
        *rows(
            "cloudformation",
            "create_change_set",
            "ChangeSetName",
            ["", "1a", "a_b", "a" * 129],
            StackName="s",
            TemplateBody=TEMPLATE,
        ),
        *rows("cloudformation", "create_stack", "OnFailure", ["PANIC"], StackName="s", TemplateBody=TEMPLATE),
        *rows(
            "cloudformation", "create_stack", "Capabilities", [["CAPABILITY_ALL"]], StackName="s", TemplateBody=TEMPLATE
        ),
    ],
    "400 ValidationException": [
        *rows("stepfunctions", "create_state_machine", "name", ["", "n" * 81], definition=MACHINE, roleArn=ROLE),
        *rows("stepfunctions", "create_state_machine", "type", ["FAST"], name="n", definition=MACHINE, roleArn=ROLE),
        *rows("stepfunctions", "start_execution", "name", ["", "n" * 81], stateMachineArn=STATES_PLACE),
        *rows("stepfunctions", "start_execution", "input", ["x" * 262_145], stateMachineArn=STATES_PLACE),
        *rows("stepfunctions", "list_state_machines", "maxResults", [-1, 1001]),
        *rows("stepfunctions", "list_executions", "statusFilter", ["DONE"], stateMachineArn=STATES_PLACE),
        *rows("stepfunctions", "stop_execution", "error", ["x" * 257], executionArn=STATES_PLACE),
        *rows("stepfunctions", "describe_execution", "executionArn", ["", "a" * 257]),
        *rows("events", "put_rule", "Name", ["", "r" * 65, "a b", "a/b"], EventPattern="{}"),
        *rows("events", "put_rule", "State", ["ON"], Name="r", EventPattern="{}"),
        *rows("events", "put_targets", "Targets", [[], [{"Id": "a b", "Arn": "arn"}]], Rule="r"),
        *rows("events", "list_rules", "Limit", [0, 101]),
        *rows("sagemaker", "describe_processing_job", "ProcessingJobName", ["", "a_b", "j" * 64]),
    ],
    "400 InvalidInputException": [
        *(project(name) for name in ("", "a", "-a", "a b", "a" * 151)),
        project("refused", timeoutInMinutes=4),
        project("refused", queuedTimeoutInMinutes=481),
        project("refused", description="d" * 256),
        *rows("codebuild", "batch_get_builds", "ids", [[], ["x"] * 101]),
        *rows("codebuild", "list_projects", "sortOrder", ["UP"]),
    ],
    "400 SerializationException": [
        *rows("logs", "create_log_group", "logGroupName", [1, ["a"], {"a": "b"}, True]),
        *rows("stepfunctions", "create_state_machine", "name", [1], definition=MACHINE, roleArn=ROLE),
    ],
    "400 MalformedInput": rows("iam", "list_roles", "MaxItems", ["x"]),
    "400 InvalidParameter": rows("sns", "create_topic", "Name", ["", "t" * 257, "a b", "a.b"]),
    "400 InvalidParameterValue": rows("sqs", "create_queue", "QueueName", ["", "q" * 81, "a b", "a.b", "a/b"]),
}
PATHS = ["/", "/a/", "/a!b/c/", "/" + "p" * 510 + "/"]
ACCEPTED: list[Row] = [
    *rows("logs", "create_log_group", "logGroupName", ["g", "n" * 512, "/aws/a-b_c.d#1"]),
    *rows("logs", "create_log_stream", "logStreamName", ["s", "n" * 512, "a b/ü[$LATEST]#"], **STREAM),
    *rows("logs", "describe_log_groups", "limit", [1, 50]),
    *rows("logs", "put_log_events", "logEvents", [[{"timestamp": 0, "message": "\n"}]], logStreamName="s", **STREAM),
    *rows("ecr", "create_repository", "repositoryName", ["ab", "a" * 256, "a/b-c/d_e", "a__b", "a---b", "1.2"]),
    *rows("iam", "create_role", "RoleName", ["r", "r" * 64, "a+b=c,d.e@f-g_h"], AssumeRolePolicyDocument=TRUST),
    *(
        ("iam", "create_role", {"RoleName": f"path{len(path)}", "Path": path, "AssumeRolePolicyDocument": TRUST})
        for path in PATHS
    ),
    *rows("iam", "list_roles", "MaxItems", [1, 1000]),
    *rows("sts", "assume_role", "RoleSessionName", ["ab", "s" * 64, "a+=,.@-b"], RoleArn=ROLE),
    *rows("sts", "assume_role", "DurationSeconds", [900, 43200], RoleArn=ROLE, RoleSessionName="session"),
    *rows("cloudformation", "create_stack", "StackName", ["Refused-Members-1"], TemplateBody=TEMPLATE),
    *rows(
        "stepfunctions", "create_state_machine", "name", ["n" * 80, "a.b-c_d+e@f!(g)"], definition=MACHINE, roleArn=ROLE
    ),
    *rows("stepfunctions", "list_state_machines", "maxResults", [0, 1000, 5.0]),
    *rows("events", "put_rule", "Name", ["r" * 64, "a.b-c_d"], EventPattern='{"source": ["x"]}'),
    project("ab"),
    project("a" * 150, timeoutInMinutes=2160, description="d" * 255, tags=[{"key": "k ü", "value": ""}]),
    *rows("sns", "create_topic", "Name", ["t" * 256, "a-b_c"]),
    *rows("sqs", "create_queue", "QueueName", ["q" * 80, "a-b_c"]),
]


@pytest.fixture
def answer(local_aws: LocalAwsProcess) -> Callable[[Row], str]:
    """``answer(row)``: "200", or status and code of the error. The clients check nothing themselves.

    In an account of its own: other tests count what they list.
    """
    config = Config(parameter_validation=False, read_timeout=60)

    @cache
    def client(service: str) -> Any:
        return local_aws.client(service, config=config, aws_access_key_id="210987654321")

    def answer(row: Row) -> str:
        service, operation, members = row
        try:
            getattr(client(service), operation)(**members)
        except ClientError as error:
            return f"{error.response['ResponseMetadata']['HTTPStatusCode']} {error.response['Error']['Code']}"
        return "200"

    assert answer(("logs", "create_log_group", STREAM)) in ("200", "400 ResourceAlreadyExistsException")
    return answer


def test_what_breaks_a_constraint_is_refused_with_the_services_error(answer: Callable[[Row], str]) -> None:
    """Names, lengths, ranges, enums and types, in the services' own words; never accepted, never a 500."""
    found = [(row, answer(row), expected) for expected, listed in REFUSED.items() for row in listed]
    assert [one for one in found if one[1] != one[2]] == []


def test_what_is_just_within_the_constraints_is_accepted(answer: Callable[[Row], str]) -> None:
    """The models refuse nothing that AWS accepts."""
    found = [(row, answer(row)) for row in ACCEPTED]
    assert [one for one in found if one[1] != "200"] == []


@pytest.mark.parametrize(
    ("row", "text"),
    [
        (
            ("logs", "create_log_group", {"logGroupName": "a b"}),
            "1 validation error detected: Value 'a b' at 'logGroupName' failed to satisfy constraint: "
            r"Member must satisfy regular expression pattern: [\.\-_/#A-Za-z0-9]+",
        ),
        (
            ("ecr", "create_repository", {"repositoryName": "a"}),
            "Invalid parameter at 'repositoryName' failed to satisfy constraint: "
            "'must have length greater than or equal to 2'",
        ),
        (
            ("iam", "list_roles", {"MaxItems": 0}),
            "1 validation error detected: Value '0' at 'maxItems' failed to satisfy constraint: "
            "Member must have value greater than or equal to 1",
        ),
        (
            ("stepfunctions", "stop_execution", {"executionArn": "arn", "error": "x" * 257}),
            "1 validation error detected: Value at 'error' failed to satisfy constraint: "
            "Member must have length less than or equal to 256",
        ),
    ],
    ids=["logs", "ecr", "iam", "secret"],
)
def test_a_refusal_is_in_the_services_words(local_aws: LocalAwsProcess, row: Row, text: str) -> None:
    """Member, value and constraint; the values of secret members are left out."""
    service, operation, members = row
    client = local_aws.client(service, config=Config(parameter_validation=False))
    with pytest.raises(ClientError) as refused:
        getattr(client, operation)(**members)
    assert refused.value.response["Error"]["Message"] == text
