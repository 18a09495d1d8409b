"""AWS managed policies: attached by ARN, evaluated, and not to be changed."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

S3_READ = "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"
PUT_LOGS = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ],
    }
)


def test_attached_policies_are_evaluated(client: Callable[..., Any], name: str) -> None:
    """What the policy allows is allowed; what no policy allows is not. A boundary can be one too."""
    iam = client("iam")
    role = iam.create_role(RoleName=name[:60], AssumeRolePolicyDocument=TRUST)["Role"]

    def decisions() -> list[str]:
        actions = ["s3:GetObject", "s3:PutObject", "logs:PutLogEvents"]
        answer = iam.simulate_principal_policy(PolicySourceArn=role["Arn"], ActionNames=actions)
        return [one["EvalDecision"] for one in answer["EvaluationResults"]]

    for arn in (S3_READ, PUT_LOGS):
        iam.attach_role_policy(RoleName=name[:60], PolicyArn=arn)
    attached = iam.list_attached_role_policies(RoleName=name[:60])["AttachedPolicies"]
    assert {one["PolicyArn"] for one in attached} == {S3_READ, PUT_LOGS}
    assert decisions() == ["allowed", "implicitDeny", "allowed"]
    iam.put_role_permissions_boundary(RoleName=name[:60], PermissionsBoundary=S3_READ)
    assert decisions() == ["allowed", "implicitDeny", "implicitDeny"]
    iam.detach_role_policy(RoleName=name[:60], PolicyArn=S3_READ)
    assert decisions() == ["implicitDeny"] * 3


def test_they_are_described_and_listed(client: Callable[..., Any]) -> None:
    """With their documents; those of one's own account stay apart."""
    iam = client("iam")
    policy = iam.get_policy(PolicyArn="arn:aws:iam::aws:policy/AmazonSageMakerFullAccess")["Policy"]
    version = iam.get_policy_version(PolicyArn=policy["Arn"], VersionId=policy["DefaultVersionId"])["PolicyVersion"]
    assert any("sagemaker" in json.dumps(statement) for statement in version["Document"]["Statement"])
    pages = iam.get_paginator("list_policies").paginate(Scope="AWS")
    assert len([one for page in pages for one in page["Policies"]]) > 1_000
    own = [
        one["Arn"] for page in iam.get_paginator("list_policies").paginate(Scope="Local") for one in page["Policies"]
    ]
    assert not [arn for arn in own if ":aws:policy/" in arn]


@pytest.mark.parametrize(
    "arn",
    [
        "arn:aws:iam::aws:policy/NoSuchPolicy",
        "arn:aws:iam::aws:policy/AWSLambdaBasicExecutionRole",  # whose path is missing
        "arn:aws-cn:iam::aws:policy/AmazonS3ReadOnlyAccess",
    ],
)
def test_what_is_no_managed_policy_does_not_exist(client: Callable[..., Any], arn: str) -> None:
    """As on AWS: names without their paths, and those of other partitions."""
    with pytest.raises(ClientError, match="NoSuchEntity"):
        client("iam").get_policy(PolicyArn=arn)


def test_they_cannot_be_changed(client: Callable[..., Any]) -> None:
    """They belong to AWS."""
    iam = client("iam")
    document = json.dumps({"Version": "2012-10-17", "Statement": []})
    for call, more in (
        (iam.create_policy_version, {"PolicyDocument": document}),
        (iam.delete_policy, {}),
        (iam.tag_policy, {"Tags": [{"Key": "a", "Value": "b"}]}),
    ):
        with pytest.raises(ClientError, match="outside your own account") as caught:
            call(PolicyArn=S3_READ, **more)
        assert caught.value.response["Error"]["Code"] == "AccessDenied"
