"""Definitions that name resources of another partition than their region's."""

from __future__ import annotations

from typing import Any

import pytest

from stepbridge_local.services.stepfunctions.resources import resource_problems

TASK = "states:::sagemaker:createProcessingJob.sync"
READER = "states:::s3:listObjectsV2"


def definition(task: str, reader: str) -> dict[str, Any]:
    """A task in a Map in a Parallel."""
    inner = {"StartAt": "T", "States": {"T": {"Type": "Task", "Resource": task, "End": True}}}
    processor = {"Type": "Map", "ItemReader": {"Resource": reader}, "ItemProcessor": inner, "End": True}
    branch = {"StartAt": "M", "States": {"M": processor}}
    return {"StartAt": "P", "States": {"P": {"Type": "Parallel", "Branches": [branch], "End": True}}}


@pytest.mark.parametrize(
    ("region", "own", "others"),
    [
        ("eu-west-1", "aws", ["aws-cn", "aws-us-gov", "${Partition}", ""]),
        ("cn-north-1", "aws-cn", ["aws", "aws-us-gov"]),
        ("us-gov-west-1", "aws-us-gov", ["aws", "aws-cn", "aws-us"]),
    ],
)
def test_only_resources_of_the_own_partition_are_recognised(region: str, own: str, others: list[str]) -> None:
    """At any depth, in AWS's words, with the place."""
    assert not list(resource_problems(definition(f"arn:{own}:{TASK}", f"arn:{own}:{READER}"), region))
    for other in others:
        task, reader = f"arn:{other}:{TASK}", f"arn:{other}:{READER}"
        (problem,) = map(str, resource_problems(definition(task, f"arn:{own}:{READER}"), region))
        assert problem.startswith(f"SCHEMA_VALIDATION_FAILED: The resource provided {task} is not recognized")
        assert problem.endswith("at /States/P/Branches[0]/States/M/ItemProcessor/States/T/Resource")
        (problem,) = map(str, resource_problems(definition(f"arn:{own}:{TASK}", reader), region))
        assert "not available in this region" in problem
        assert problem.endswith("at /States/P/Branches[0]/States/M/ItemReader/Resource")


def test_express_workflows_do_not_wait_for_jobs() -> None:
    """Refused with the place."""
    (problem,) = resource_problems(definition(f"arn:aws:{TASK}", f"arn:aws:{READER}"), "eu-west-1", "EXPRESS")
    assert "Express state machine does not support '.sync'" in problem.message


@pytest.mark.parametrize("what", [None, [], "x", {}, {"States": []}, {"States": {"A": 1, "B": {"Resource": {}}}}])
def test_what_is_no_definition_is_left_to_the_parser(what: Any) -> None:
    """Nothing is found in it."""
    assert not list(resource_problems(what, "cn-north-1"))
