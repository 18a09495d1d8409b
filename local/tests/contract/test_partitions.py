"""Regions of other partitions: ARNs, domains and integrations are their own, as in GovCloud and China."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

ACCOUNT = "123456789012"
REGIONS = [
    ("eu-west-1", "aws", "amazonaws.com"),
    ("us-gov-west-1", "aws-us-gov", "amazonaws.com"),
    ("cn-north-1", "aws-cn", "amazonaws.com.cn"),
]


@pytest.mark.parametrize(("region", "partition", "suffix"), REGIONS)
def test_a_stack(client: Callable[..., Any], name: str, region: str, partition: str, suffix: str) -> None:
    """Pseudo parameters, and the addresses of a bucket and of a repository; ECR's own answers say the same."""
    cloudformation, ecr = client("cloudformation", region_name=region), client("ecr", region_name=region)
    values = {
        "Partition": {"Ref": "AWS::Partition"},
        "Suffix": {"Fn::Sub": "${AWS::URLSuffix}"},
        "RepositoryUri": {"Fn::GetAtt": ["Images", "RepositoryUri"]},
        "RepositoryArn": {"Fn::GetAtt": ["Images", "Arn"]},
        **{part: {"Fn::GetAtt": ["Bucket", part]} for part in ("Arn", "DomainName", "RegionalDomainName")},
        "DualStack": {"Fn::GetAtt": ["Bucket", "DualStackDomainName"]},
    }
    resources = {
        "Bucket": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": name}},
        "Images": {"Type": "AWS::ECR::Repository", "Properties": {"RepositoryName": name}},
    }
    outputs = {key: {"Value": value} for key, value in values.items()}
    body = json.dumps({"Resources": resources, "Outputs": outputs})
    cloudformation.create_stack(StackName=name, TemplateBody=body)
    (stack,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
    found = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
    registry = f"{ACCOUNT}.dkr.ecr.{region}.{suffix}"
    assert found == {
        "Partition": partition,
        "Suffix": suffix,
        "RepositoryUri": f"{registry}/{name}",
        "RepositoryArn": f"arn:{partition}:ecr:{region}:{ACCOUNT}:repository/{name}",
        "Arn": f"arn:{partition}:s3:::{name}",
        "DomainName": f"{name}.s3.{suffix}",
        "RegionalDomainName": f"{name}.s3.{region}.{suffix}",
        "DualStack": f"{name}.s3.dualstack.{region}.{suffix}",
    }
    (repository,) = ecr.describe_repositories(repositoryNames=[name])["repositories"]
    assert repository["repositoryUri"] == found["RepositoryUri"]
    (token,) = ecr.get_authorization_token()["authorizationData"]
    assert token["proxyEndpoint"] == f"https://{registry}"


@pytest.mark.parametrize(("region", "partition", "suffix"), REGIONS)
def test_integrations(client: Callable[..., Any], name: str, region: str, partition: str, suffix: str) -> None:
    """The partition's own are taken, others are refused: in CreateStateMachine, UpdateStateMachine and Validate…."""
    _ = suffix
    states = client("stepfunctions", region_name=region)
    role = f"arn:{partition}:iam::{ACCOUNT}:role/any"

    def definition(owner: str) -> str:
        resource = f"arn:{owner}:states:::sagemaker:createProcessingJob.sync"
        task = {"Type": "Task", "Resource": resource, "Arguments": {"ProcessingJobName": "x"}, "End": True}
        return json.dumps({"QueryLanguage": "JSONata", "StartAt": "A", "States": {"A": task}})

    machine = states.create_state_machine(name=name, definition=definition(partition), roleArn=role)["stateMachineArn"]
    states.update_state_machine(stateMachineArn=machine, definition=definition(partition))
    assert states.validate_state_machine_definition(definition=definition(partition))["result"] == "OK"
    for other in {"aws", "aws-cn", "aws-us-gov"} - {partition}:
        foreign = definition(other)
        with pytest.raises(ClientError, match="InvalidDefinition") as created:
            states.create_state_machine(name=f"{name}-2", definition=foreign, roleArn=role)
        with pytest.raises(ClientError, match="InvalidDefinition") as updated:
            states.update_state_machine(stateMachineArn=machine, definition=foreign)
        validated = states.validate_state_machine_definition(definition=foreign)
        assert validated["result"] == "FAIL"
        (problem,) = validated["diagnostics"]
        shown = f"{problem['code']}: {problem['message']} at {problem['location']}"
        for text in (str(created.value), str(updated.value), shown):
            assert f"SCHEMA_VALIDATION_FAILED: The resource provided arn:{other}:states:::" in text
            assert "the resource is not available in this region. at /States/A/Resource" in text
    assert json.loads(states.describe_state_machine(stateMachineArn=machine)["definition"]) == json.loads(
        definition(partition)
    )
