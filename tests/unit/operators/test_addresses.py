"""Where links lead."""

from __future__ import annotations

import pytest

from stepbridge.links.addresses import build_address, execution_address, job_address, log_address, objects_address

EXECUTION = "arn:aws:states:eu-west-1:123456789012:execution:batch:run-1"
JOB = "arn:aws:sagemaker:eu-west-1:123456789012:processing-job/sb-run-1"
BUILD = "arn:aws:codebuild:eu-west-1:123456789012:build/stepbridge-build-image:0f3a"
LOCAL = "http://127.0.0.1:4566"


def test_the_console_s_pages() -> None:
    """As the console itself spells them."""
    assert execution_address(EXECUTION) == (
        f"https://eu-west-1.console.aws.amazon.com/states/home?region=eu-west-1#/v2/executions/details/{EXECUTION}"
    )
    assert log_address(JOB, "/aws/sagemaker/ProcessingJobs", "sb-run-1/") == (
        "https://eu-west-1.console.aws.amazon.com/cloudwatch/home?region=eu-west-1#logsV2:log-groups/log-group/"
        "$252Faws$252Fsagemaker$252FProcessingJobs$3FlogStreamNameFilter$3Dsb-run-1$2F"
    )
    assert job_address(JOB) == (
        "https://eu-west-1.console.aws.amazon.com/sagemaker/home?region=eu-west-1#/processing-jobs/sb-run-1"
    )
    assert build_address(BUILD) == (
        "https://eu-west-1.console.aws.amazon.com/codesuite/codebuild/123456789012/projects/stepbridge-build-image"
        "/build/stepbridge-build-image%3A0f3a/log?region=eu-west-1"
    )


@pytest.mark.parametrize(
    ("partition", "region", "console"),
    [
        ("aws", "eu-west-1", "console.aws.amazon.com"),
        ("aws-cn", "cn-north-1", "console.amazonaws.cn"),
        ("aws-us-gov", "us-gov-west-1", "console.amazonaws-us-gov.com"),
    ],
)
def test_each_partition_has_a_console_of_its_own(partition: str, region: str, console: str) -> None:
    """All links lead there."""
    execution, job, build = (
        arn.replace("arn:aws:", f"arn:{partition}:").replace("eu-west-1", region) for arn in (EXECUTION, JOB, BUILD)
    )
    for address in (
        execution_address(execution),
        job_address(job),
        log_address(job, "/aws/sagemaker/ProcessingJobs", "sb-run-1/"),
        build_address(build),
        objects_address("s3://data/in/", region),
    ):
        assert address.startswith(f"https://{region}.{console}/")
        assert f"region={region}" in address


def test_the_local_aws_has_no_console() -> None:
    """Its links stay on this machine."""
    addresses = [
        execution_address(EXECUTION, LOCAL),
        log_address(JOB, "/aws/sagemaker/ProcessingJobs", "sb-run-1/", LOCAL),
        job_address(JOB, LOCAL),
        build_address(BUILD, f"{LOCAL}/"),
    ]
    assert all(address.startswith(f"{LOCAL}/_stepbridge/") for address in addresses)
    assert all(address.endswith("?account=123456789012&region=eu-west-1") for address in addresses[1:])


def test_the_console_s_page_of_a_prefix() -> None:
    """The bucket's page, with the prefix in its search; a region tells the partition."""
    assert objects_address("s3://data/in/a b/", "eu-west-1") == (
        "https://eu-west-1.console.aws.amazon.com/s3/buckets/data?region=eu-west-1&prefix=in%2Fa%20b%2F"
    )
    assert objects_address("s3://data", "cn-north-1").startswith("https://cn-north-1.console.amazonaws.cn/s3/buckets/")
    assert "amazonaws-us-gov.com" in objects_address("s3://data", "us-gov-west-1")


def test_the_local_aws_lists_a_prefix() -> None:
    """On a page of its own."""
    assert objects_address("s3://data/in/day=1/", "us-east-1", LOCAL) == (
        f"{LOCAL}/_stepbridge/buckets/data?prefix=in%2Fday%3D1%2F"
    )
