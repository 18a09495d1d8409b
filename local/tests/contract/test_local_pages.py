"""The local AWS's pages: what the links of Airflow's tasks lead to."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from html import unescape
from typing import Any

import httpx
import pytest
import yaml

from stepbridge.links.addresses import build_address, execution_address, job_address, log_address, objects_address
from stepbridge_local.testing import LocalAwsProcess

ROLE_ARN = "arn:aws:iam::123456789012:role/any"
JOB_ARN = "arn:aws:sagemaker:us-east-1:123456789012:processing-job/any"
HOSTILE = "<script>alert('&')</script>"
ESCAPED = "&lt;script&gt;alert(&#39;&amp;&#39;)&lt;/script&gt;"
ENDED_WITHIN_SECONDS = 20.0


def page(address: str, status: int = 200) -> str:
    """The page's HTML; it is HTML, runs no script and comes without one."""
    answer = httpx.get(address)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "<script" not in answer.text
    return answer.text


def executed(client: Callable[..., Any], name: str, state: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    machines = client("stepfunctions")
    definition = json.dumps({"StartAt": "Only", "States": {"Only": state}})
    machine = machines.create_state_machine(name=name, definition=definition, roleArn=ROLE_ARN)["stateMachineArn"]
    arn = machines.start_execution(stateMachineArn=machine, input=json.dumps(given))["executionArn"]
    deadline = time.monotonic() + ENDED_WITHIN_SECONDS
    while (execution := machines.describe_execution(executionArn=arn))["status"] == "RUNNING":
        assert time.monotonic() < deadline, execution
        time.sleep(0.02)
    return dict(execution)


def test_an_execution_s_page(local_aws: LocalAwsProcess, client: Callable[..., Any], name: str) -> None:
    """Status, error, cause, input and events; what a user wrote is text, never HTML."""
    failing = {"Type": "Fail", "Error": "Broken", "Cause": HOSTILE}
    execution = executed(client, name, failing, {"note": HOSTILE})
    html = page(execution_address(execution["executionArn"], local_aws.endpoint_url))
    assert execution["executionArn"] in html
    assert '<span class="status bad">FAILED</span>' in html
    assert "Broken" in html
    assert html.count(ESCAPED) >= 2  # the cause and the input
    assert "FailStateEntered  Only" in html
    assert 'http-equiv="refresh"' not in html


def test_a_running_execution_s_page_is_loaded_again(
    local_aws: LocalAwsProcess, client: Callable[..., Any], name: str
) -> None:
    """Without a script, by the browser itself."""
    machines = client("stepfunctions")
    definition = json.dumps({"StartAt": "Only", "States": {"Only": {"Type": "Wait", "Seconds": 600, "End": True}}})
    machine = machines.create_state_machine(name=name, definition=definition, roleArn=ROLE_ARN)["stateMachineArn"]
    arn = machines.start_execution(stateMachineArn=machine)["executionArn"]
    html = page(execution_address(arn, local_aws.endpoint_url))
    machines.stop_execution(executionArn=arn)
    assert 'http-equiv="refresh"' in html
    assert "No job yet." in html


@pytest.mark.parametrize(
    ("path", "status", "told"),
    [
        ("executions/nonsense", 400, "is not the ARN of an execution"),
        (
            "executions/arn%3Aaws%3Astates%3Aus-east-1%3A123456789012%3Aexecution%3Ano%3Ano",
            404,
            "ExecutionDoesNotExist",
        ),
        ("builds/no%3Ano", 404, "There is no build"),
    ],
)
def test_what_is_not_there_is_told(local_aws: LocalAwsProcess, path: str, status: int, told: str) -> None:
    """With the HTTP status that fits."""
    assert told in page(f"{local_aws.endpoint_url}/_stepbridge/{path}", status)


def test_a_log_s_page_holds_every_stream_of_the_prefix(
    local_aws: LocalAwsProcess, client: Callable[..., Any], name: str
) -> None:
    """In the account's region that the link names; other streams are not shown, and another region has none."""
    logs = client("logs")
    logs.create_log_group(logGroupName=f"/{name}")
    now = int(time.time() * 1000)
    for stream, line in (("job/algo-1", "one"), ("job/algo-2", HOSTILE), ("job2/algo-1", "of another job")):
        logs.create_log_stream(logGroupName=f"/{name}", logStreamName=stream)
        logs.put_log_events(
            logGroupName=f"/{name}", logStreamName=stream, logEvents=[{"timestamp": now, "message": line}]
        )
    html = page(log_address(JOB_ARN, f"/{name}", "job/", local_aws.endpoint_url))
    assert "<h2>job/algo-1</h2>" in html
    assert "<pre>one\n</pre>" in html
    assert f"<pre>{ESCAPED}\n</pre>" in html
    assert "of another job" not in html
    elsewhere = page(log_address(JOB_ARN.replace("us-east-1", "eu-west-1"), f"/{name}", "job/", local_aws.endpoint_url))
    assert "No log stream of this group begins like that" in elsewhere


def test_a_build_s_page(local_aws: LocalAwsProcess, client: Callable[..., Any], name: str) -> None:
    """Phases and log of a build that failed."""
    buildspec = yaml.safe_dump({"version": 0.2, "phases": {"build": {"commands": [f'echo "{HOSTILE}"; exit 3']}}})
    codebuild = client("codebuild")
    codebuild.create_project(
        name=name,
        source={"type": "NO_SOURCE", "buildspec": buildspec},
        artifacts={"type": "NO_ARTIFACTS"},
        environment={"type": "LINUX_CONTAINER", "image": "any", "computeType": "BUILD_GENERAL1_SMALL"},
        serviceRole=ROLE_ARN,
    )
    build = codebuild.start_build(projectName=name)["build"]
    deadline = time.monotonic() + ENDED_WITHIN_SECONDS
    while not codebuild.batch_get_builds(ids=[build["id"]])["builds"][0]["buildComplete"]:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    html = page(build_address(build["arn"], local_aws.endpoint_url))
    assert '<span class="status bad">FAILED</span>' in html
    assert "<td>BUILD</td>" in html
    assert ESCAPED in html


def test_a_job_s_page(local_aws: LocalAwsProcess, client: Callable[..., Any], name: str) -> None:
    """What DescribeProcessingJob tells, and the way to the log."""
    client("s3").create_bucket(Bucket=name)
    arn = client("sagemaker").create_processing_job(
        ProcessingJobName=name,
        ProcessingResources={"ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1}},
        AppSpecification={"ImageUri": "123456789012.dkr.ecr.us-east-1.amazonaws.com/no-such-repository:one"},
        Environment={"NOTE": HOSTILE},
        RoleArn=ROLE_ARN,
    )["ProcessingJobArn"]
    html = page(job_address(arn, local_aws.endpoint_url))
    assert arn in html
    assert ESCAPED in html
    (log,) = re.findall('<a href="([^"]*)">Log</a>', html)
    assert "No log stream" in page(local_aws.endpoint_url + unescape(log))


def test_the_page_of_a_prefix(local_aws: LocalAwsProcess, client: Callable[..., Any], name: str) -> None:
    """Its objects with their sizes; a key is text, never HTML. A prefix without objects says so."""
    s3 = client("s3")
    bucket = f"pages-{name}"
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key=f"in/{HOSTILE}.csv", Body=b"12345")
    s3.put_object(Bucket=bucket, Key="elsewhere.csv", Body=b"")
    html = page(objects_address(f"s3://{bucket}/in/", "us-east-1", local_aws.endpoint_url))
    assert f"in/{ESCAPED}.csv" in html
    assert "<td>5</td>" in html
    assert "elsewhere" not in html
    assert "No object" in page(objects_address(f"s3://{bucket}/none/", "us-east-1", local_aws.endpoint_url))
    assert "NoSuchBucket" in page(objects_address("s3://no-such-bucket", "us-east-1", local_aws.endpoint_url), 404)
