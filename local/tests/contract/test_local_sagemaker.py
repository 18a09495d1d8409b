"""SageMaker's front door: what goes to the Processing service, and what is turned away."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/not-there:1"
ROLE = "arn:aws:iam::123456789012:role/processing"


@pytest.fixture
def sagemaker(client: Callable[..., Any]) -> Any:
    return client("sagemaker")


def request(name: str, **members: Any) -> dict[str, Any]:
    resources = {"ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1}}
    job = {
        "ProcessingJobName": name,
        "ProcessingResources": resources,
        "AppSpecification": {"ImageUri": IMAGE},
        "RoleArn": ROLE,
    }
    return job | members


def refused(call: Callable[..., Any], **members: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as error:
        call(**members)
    return error.value.response["Error"]["Code"], error.value.response["Error"]["Message"]


def test_a_job_is_created_described_and_listed(sagemaker: Any, name: str) -> None:
    """Times are times, the ARN has account and region, the tags are there; an image that is not there fails it."""
    arn = sagemaker.create_processing_job(**request(name, Tags=[{"Key": "t", "Value": "1"}]))["ProcessingJobArn"]
    assert arn == f"arn:aws:sagemaker:us-east-1:123456789012:processing-job/{name}"
    sagemaker.get_waiter("processing_job_completed_or_stopped")  # exists for the operation
    described = sagemaker.describe_processing_job(ProcessingJobName=name)
    assert isinstance(described["CreationTime"], datetime)
    assert described["RoleArn"] == ROLE
    listed = sagemaker.list_processing_jobs(NameContains=name)["ProcessingJobSummaries"]
    assert [job["ProcessingJobName"] for job in listed] == [name]
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "t", "Value": "1"}]


def test_errors_have_the_names_that_aws_gives_them(sagemaker: Any, name: str) -> None:
    sagemaker.create_processing_job(**request(name))
    assert refused(sagemaker.create_processing_job, **request(name))[0] == "ResourceInUse"
    assert refused(sagemaker.create_processing_job, **request("not_a_name"))[0] == "ValidationException"
    missing = f"{name}-no"
    assert refused(sagemaker.describe_processing_job, ProcessingJobName=missing)[0] == "ValidationException"
    assert refused(sagemaker.stop_processing_job, ProcessingJobName=missing)[0] == "ValidationException"


def test_jobs_of_another_region_are_elsewhere(client: Callable[..., Any], sagemaker: Any, name: str) -> None:
    sagemaker.create_processing_job(**request(name))
    elsewhere = client("sagemaker", region_name="eu-west-1")
    assert elsewhere.list_processing_jobs(NameContains=name)["ProcessingJobSummaries"] == []


@pytest.mark.parametrize(
    ("operation", "members"),
    [
        ("list_training_jobs", {}),
        ("describe_endpoint", {"EndpointName": "x"}),
        ("create_model", {"ModelName": "x", "ExecutionRoleArn": ROLE}),
        ("list_models", {}),
    ],
)
def test_what_is_not_processing_is_turned_away(sagemaker: Any, operation: str, members: dict[str, Any]) -> None:
    """Not answered as if it had been done."""
    code, message = refused(getattr(sagemaker, operation), **members)
    assert code == "NotImplemented"
    assert "Processing jobs only" in message
