"""The permissions that a model's roles need, as far as its card says."""

from __future__ import annotations

import pytest

from stepbridge.core.deployment import Deployment
from stepbridge.core.model_card import parse_card
from stepbridge.core.readiness import permissions_of, readable_part

ROLE = "arn:aws:iam::123456789012:role/machine"
DEPLOYED = Deployment(
    account_id="123456789012",
    region="eu-west-1",
    bucket="own",
    state_machine_arn="arn:aws:states:eu-west-1:123456789012:stateMachine:batch-inference",
    processing_role_arn="arn:aws:iam::123456789012:role/processing",
    codebuild_project="build",
    repository_name="models",
    repository_uri="123456789012.dkr.ecr.eu-west-1.amazonaws.com/models",
    scikit_image_uri="141502667606.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3",
    stack_name="stepbridge",
)


@pytest.mark.parametrize(
    ("uri", "part"),
    [
        ("s3://bucket/in/", "s3://bucket/in/"),
        ("s3://bucket", "s3://bucket"),
        ("s3://bucket/in/{{ ds }}/x", "s3://bucket/in/"),
        ("s3://bucket/{% if a %}", "s3://bucket/"),
        ("s3://bucket-{{ params.stage }}/in/", None),
        ("{{ params.uri }}", None),
    ],
)
def test_the_part_of_a_uri_that_is_known(uri: str, part: str | None) -> None:
    """Up to the first expression, if the bucket is whole."""
    assert readable_part(uri) == part


def needed(text: str) -> set[tuple[str, str, str]]:
    card = parse_card(text, "dags/models/m.yaml")
    found = permissions_of(card, DEPLOYED, ROLE)
    return {(one.role_arn.rpartition("/")[2], one.action, one.resource) for one in found}


def test_permissions_follow_the_card() -> None:
    """Data where the card says, images that the stages use, and nothing for what is a template altogether."""
    every = needed("input_uri: s3://input/a/{{ ds }}/\noutput_uri: s3://output/b/\n")
    assert ("processing", "s3:GetObject", "arn:aws:s3:::input/a/preflight") in every
    assert ("processing", "s3:PutObject", "arn:aws:s3:::output/b/preflight") in every
    assert ("processing", "ecr:BatchGetImage", "arn:aws:ecr:eu-west-1:123456789012:repository/models") in every
    scikit = "arn:aws:ecr:eu-west-1:141502667606:repository/sagemaker-scikit-learn"
    assert ("processing", "ecr:BatchGetImage", scikit) in every
    assert ("machine", "iam:PassRole", DEPLOYED.processing_role_arn) in every
    some = needed("input_uri: '{{ params.x }}'\noutput_uri: s3://output/b/\nstages: [preprocessing]\n")
    assert not any("arn:aws:s3:::input" in resource or resource.endswith("/models") for _, _, resource in some)


def test_an_image_of_another_registry_needs_no_ecr() -> None:
    """Who may pull it, IAM does not know."""
    text = "input_uri: s3://input/a/\noutput_uri: s3://output/a/\n"
    text += "stages: [inference]\nimage: public.registry.test/team/m:1\n"
    assert not any(action.startswith("ecr:") for _, action, _ in needed(text))
