"""The local AWS's pages for people."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from html import unescape
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import pytest
import yaml

from stepbridge_local.testing import LocalAwsProcess

ROLE_ARN = "arn:aws:iam::123456789012:role/any"
IMAGE_URI = "123456789012.dkr.ecr.us-east-1.amazonaws.com/no-such-repository:one"
CLUSTER = {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1}
HOSTILE = "<script>alert('&')</script>"
ESCAPED = "&lt;script&gt;alert(&#39;&amp;&#39;)&lt;/script&gt;"
ENDED_WITHIN_SECONDS = 20.0


def address(local_aws: LocalAwsProcess, *path: str, **query: str) -> str:
    """The address of a page, as its module documents it."""
    parts = "/".join(quote(part, safe="") for part in path)
    return f"{local_aws.endpoint_url}/_stepbridge/{parts}?{urlencode(query)}"


def place(region: str = "us-east-1") -> dict[str, str]:
    return {"account": "123456789012", "region": region}


def page(address: str, status: int = 200) -> str:
    """The page's HTML; it is HTML, runs no script and comes without one."""
    answer = httpx.get(address, timeout=30.0)
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


def job_state(name: str) -> dict[str, Any]:
    """A state that runs one Processing job and waits for it."""
    job = {
        "ProcessingJobName": name,
        "ProcessingResources": {"ClusterConfig": CLUSTER},
        "AppSpecification": {"ImageUri": IMAGE_URI},
        "RoleArn": ROLE_ARN,
    }
    resource = "arn:aws:states:::sagemaker:createProcessingJob.sync"
    return {"Type": "Task", "Resource": resource, "Parameters": job, "End": True}


def test_an_execution_s_page(local_aws: LocalAwsProcess, client: Callable[..., Any], name: str) -> None:
    """Status, error, cause, input and events; what a user wrote is text, never HTML."""
    failing = {"Type": "Fail", "Error": "Broken", "Cause": HOSTILE}
    execution = executed(client, name, failing, {"note": HOSTILE})
    html = page(address(local_aws, "executions", execution["executionArn"]))
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
    html = page(address(local_aws, "executions", arn))
    machines.stop_execution(executionArn=arn)
    assert 'http-equiv="refresh"' in html
    assert "No job yet." in html


def test_an_execution_s_page_leads_to_its_jobs(
    local_aws: LocalAwsProcess, client: Callable[..., Any], name: str
) -> None:
    """State, job, status and failure; the job's page and its log are links."""
    execution = executed(client, name, job_state(name), {})
    html = page(address(local_aws, "executions", execution["executionArn"]))
    assert re.search(r"Only +[\d.]+ s  \| *█+ *\|  FAILED", html)
    assert "Only, 1 attempt:" in html
    assert '<span class="status bad">Failed</span>' in html
    assert "no-such-repository" in html
    before_the_jobs = html.partition("<h2>Jobs</h2>")[0]
    assert execution["cause"].startswith("{")
    assert "AppSpecification" not in before_the_jobs, "a job's whole description hides what failed"
    assert "AppSpecification" in html
    (job_page,) = re.findall(f'<a href="([^"]*)">{name}</a>', html)
    reason, _, description = page(local_aws.endpoint_url + unescape(job_page)).partition("<h2>Description</h2>")
    assert "no-such-repository" in reason
    assert "processing-job" in description
    (log,) = re.findall('<a href="([^"]*)">log</a>', html)
    assert "No log stream" in page(local_aws.endpoint_url + unescape(log))


@pytest.mark.parametrize(
    ("path", "status", "text"),
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
def test_a_page_of_what_does_not_exist_says_so(local_aws: LocalAwsProcess, path: str, status: int, text: str) -> None:
    """With the HTTP status that fits."""
    assert text in page(f"{local_aws.endpoint_url}/_stepbridge/{path}", status)


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
    html = page(address(local_aws, "logs", f"/{name}", "job/", **place()))
    assert "<h2>job/algo-1</h2>" in html
    assert "<pre>one\n</pre>" in html
    assert f"<pre>{ESCAPED}\n</pre>" in html
    assert "of another job" not in html
    elsewhere = page(address(local_aws, "logs", f"/{name}", "job/", **place("eu-west-1")))
    assert "No log stream of this group begins like that" in elsewhere


def test_a_build_s_page(local_aws: LocalAwsProcess, client: Callable[..., Any], name: str) -> None:
    """Phases and log of a build that failed."""
    buildspec = yaml.safe_dump(
        {"version": 0.2, "phases": {"build": {"commands": [f'echo "{HOSTILE}" {"x" * 300}; exit 3']}}}
    )
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
    html = page(address(local_aws, "builds", build["id"], **place()))
    assert '<span class="status bad">FAILED</span>' in html
    assert '<td class="word">BUILD</td>' in html
    assert ESCAPED in html
    assert "<td>… Reason: exit status 3 </td>" in html, "the script, of 300 characters, is in the log"
    client("logs").delete_log_group(logGroupName=f"/aws/codebuild/{name}")  # as a restart loses it
    html = page(address(local_aws, "builds", build["id"], **place()))
    assert '<td class="word">BUILD</td>' in html
    assert "a restart of the local AWS loses" in html


def test_a_job_s_page(local_aws: LocalAwsProcess, client: Callable[..., Any], name: str) -> None:
    """The answer of DescribeProcessingJob, and a link to the log."""
    client("s3").create_bucket(Bucket=name)
    arn = client("sagemaker").create_processing_job(
        ProcessingJobName=name,
        ProcessingResources={"ClusterConfig": CLUSTER},
        AppSpecification={"ImageUri": IMAGE_URI},
        Environment={"NOTE": HOSTILE},
        RoleArn=ROLE_ARN,
    )["ProcessingJobArn"]
    html = page(address(local_aws, "jobs", name, **place()))
    assert arn in html
    assert ESCAPED in html
    (log,) = re.findall('<a href="([^"]*)">Log</a>', html)
    assert "No log stream" in page(local_aws.endpoint_url + unescape(log))


def test_the_page_of_a_prefix(local_aws: LocalAwsProcess, client: Callable[..., Any], name: str) -> None:
    """Its objects with their sizes; a key is text, never HTML. A prefix without objects says so."""
    s3 = client("s3")
    bucket = f"pages-{name}"
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key=f"in/{HOSTILE}.csv", Body=b"1")
    s3.put_object(Bucket=bucket, Key=f"in/{HOSTILE.replace('/', '')}.csv", Body=b"12345")
    s3.put_object(Bucket=bucket, Key="elsewhere.csv", Body=b"")
    html = page(address(local_aws, "buckets", bucket, prefix="in/"))
    assert f">{ESCAPED.replace('/', '')}.csv</a>" in html
    assert f">{ESCAPED.partition('/')[0]}/</a>" in html  # a folder
    assert "<td>5</td>" in html
    assert "elsewhere" not in html
    assert ">in/</a>" in page(address(local_aws, "buckets", bucket, prefix="in"))  # a URI without a slash at its end
    assert "No object" in page(address(local_aws, "buckets", bucket, prefix="none/"))
    assert "NoSuchBucket" in page(address(local_aws, "buckets", "no-such-bucket"), 404)


def links(html: str) -> list[str]:
    return [unescape(link) for link in re.findall('<a href="([^"]*)"', html)]


def test_the_index_leads_to_everything_and_everything_leads_back(
    local_aws: LocalAwsProcess, client: Callable[..., Any], name: str
) -> None:
    """From the address alone a person gets to executions, jobs, builds, buckets, an object's content, and back."""
    s3 = client("s3")
    bucket = f"index-{name}"
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="out/a day/rows ü.csv", Body="a,b\n1,ü\n".encode())
    executed(client, name, job_state(name), {"output_uri": f"s3://{bucket}/out/"})
    browser = httpx.Client(base_url=local_aws.endpoint_url, headers={"accept": "text/html,*/*"}, timeout=30.0)
    index = browser.get("/").text
    assert browser.get("/_stepbridge").text.partition("</style>")[0] == index.partition("</style>")[0]
    assert any(link.startswith("/_stepbridge/jobs/") and name in link for link in links(index))
    [execution] = [link for link in links(index) if link.startswith("/_stepbridge/executions/") and name in link]
    page_of_execution = page(local_aws.endpoint_url + execution)
    assert "/_stepbridge/" in links(page_of_execution)
    [output] = [link for link in links(page_of_execution) if f"/buckets/{bucket}" in link]
    assert "a day/" in page(local_aws.endpoint_url + output)
    [below] = [link for link in links(index) if f"/buckets/{bucket}?" in link]
    for step in ("out/", "out%2Fa+day%2F"):
        listed = page(local_aws.endpoint_url + below)
        [below] = [
            link
            for link in links(listed)
            if link.endswith(f"&{urlencode(place())}") and f"={step.replace('/', '%2F')}&" in link
        ]
    listed = page(local_aws.endpoint_url + below)
    assert f"/_stepbridge/buckets/{bucket}?prefix=out%2F&{urlencode(place())}" in links(listed)
    [opened] = [link for link in links(listed) if "/objects/" in link]
    answer = browser.get(opened)
    assert answer.text == "a,b\n1,ü\n"
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["content-disposition"].startswith("inline")


@pytest.mark.parametrize(
    ("content", "shown"),
    [(b"<script>alert(1)</script>", "text/plain; charset=utf-8"), (b"\x00\xff" * 100_000, "application/octet-stream")],
)
def test_an_object_opens_and_is_never_a_page(
    local_aws: LocalAwsProcess, client: Callable[..., Any], name: str, content: bytes, shown: str
) -> None:
    """Text is shown as text, all else is saved; a browser runs nothing of it and guesses no other type."""
    s3 = client("s3")
    s3.create_bucket(Bucket=name)
    s3.put_object(Bucket=name, Key="page.html", Body=content, ContentType="text/html")
    answer = httpx.get(address(local_aws, "objects", name, "page.html", **place()), timeout=30.0)
    assert answer.content == content
    assert answer.headers["content-type"] == shown
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in answer.headers["content-security-policy"]
    assert "NoSuchKey" in page(address(local_aws, "objects", name, "none", **place()), 404)


def test_a_client_that_lists_buckets_gets_no_page(local_aws: LocalAwsProcess, client: Callable[..., Any]) -> None:
    """The address without a path is S3's for all but browsers."""
    assert "Buckets" in client("s3").list_buckets()
    assert "ListAllMyBuckets" in httpx.get(local_aws.endpoint_url, timeout=30.0).text


def test_the_index_of_a_region_without_anything(local_aws: LocalAwsProcess) -> None:
    """Each list says that it is empty."""
    html = page(address(local_aws, "", account="210987654321", region="eu-north-1"))
    assert "No execution yet" in html
    assert "No job yet" in html
    assert "No build yet" in html
