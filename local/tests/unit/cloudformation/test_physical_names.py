"""Names of resources whose templates name none."""

from __future__ import annotations

import re

import pytest

from stepbridge_local.services.cloudformation.physical_names import physical_name
from stepbridge_local.services.s3.rules import S3Call, problem_of_call
from stepbridge_local.services.service_model import compile_pattern, input_shape

SUFFIX = "ABCDEF012345"
STACKS = ["s", "A-Stack", "s" * 128, "Ends-with-" + "x-" * 59]
LOGICAL_IDS = ["R", "Resource1", "L" * 255]
NAMED = [
    ("AWS::CodeBuild::Project", "codebuild", "CreateProject", "name"),
    ("AWS::ECR::Repository", "ecr", "CreateRepository", "repositoryName"),
    ("AWS::Events::Rule", "events", "PutRule", "Name"),
    ("AWS::IAM::ManagedPolicy", "iam", "CreatePolicy", "PolicyName"),
    ("AWS::IAM::Role", "iam", "CreateRole", "RoleName"),
    ("AWS::Logs::LogGroup", "logs", "CreateLogGroup", "logGroupName"),
    ("AWS::StepFunctions::StateMachine", "stepfunctions", "CreateStateMachine", "name"),
]


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("logical_id", LOGICAL_IDS)
@pytest.mark.parametrize(("type_name", "service", "operation", "member"), NAMED, ids=[row[0] for row in NAMED])
def test_the_service_accepts_the_name(
    type_name: str, service: str, operation: str, member: str, stack: str, logical_id: str
) -> None:
    """However long the stack's name and the logical ID are."""
    shape = input_shape(service, operation)
    assert shape is not None
    constraints = shape.members[member].metadata
    name = physical_name(type_name, stack, logical_id, SUFFIX)
    assert constraints["min"] <= len(name) <= constraints["max"]
    assert compile_pattern(constraints.get("pattern", ".*")).fullmatch(name)


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("logical_id", LOGICAL_IDS)
def test_buckets_and_queues_too(stack: str, logical_id: str) -> None:
    """Their limits are not in the models."""
    bucket = physical_name("AWS::S3::Bucket", stack, logical_id, SUFFIX)
    assert problem_of_call(S3Call("CreateBucket", bucket)) is None
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,80}", physical_name("AWS::SQS::Queue", stack, logical_id, SUFFIX))


def test_a_short_name_has_all_of_its_parts() -> None:
    """What people look for in a list."""
    assert physical_name("AWS::IAM::Role", "site", "JobRole", SUFFIX) == f"site-JobRole-{SUFFIX}"
    assert physical_name("AWS::ECR::Repository", "Site", "Images", SUFFIX) == f"site-images-{SUFFIX.lower()}"
