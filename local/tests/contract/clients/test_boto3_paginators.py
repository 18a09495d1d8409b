"""boto3's paginators, in small pages: everything comes once, in order."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from .conftest import Site, until

PASS = json.dumps({"StartAt": "A", "States": {"A": {"Type": "Pass", "Next": "B"}, "B": {"Type": "Succeed"}}})


def pages(client: Any, operation: str, member: str, size: int | None = 2, **arguments: Any) -> list[list[Any]]:
    """The items of each page. A page has no more than ``size`` items."""
    config = {} if size is None else {"PageSize": size}
    answer = client.get_paginator(operation).paginate(PaginationConfig=config, **arguments)
    found = [page.get(member, []) for page in answer]
    assert size is None or all(len(page) <= size for page in found)
    return found


def flat(found: list[list[Any]]) -> list[Any]:
    return list(itertools.chain.from_iterable(found))


@pytest.fixture(scope="module")
def jobs(site: Site) -> list[str]:
    """Five jobs that have run, by name, oldest first."""
    return [site.run_job("paged-job")["ProcessingJobName"] for _ in range(5)]


@pytest.fixture(scope="module")
def executions(site: Site) -> list[str]:
    """Five executions of one state machine that have succeeded, oldest first."""
    sfn = site.client("stepfunctions")
    machine = sfn.create_state_machine(name=site.unique("paged"), definition=PASS, roleArn=site.role_arn)
    arns = [
        sfn.start_execution(stateMachineArn=machine["stateMachineArn"], input=f"[{number}]")["executionArn"]
        for number in range(5)
    ]
    for arn in arns:
        until(lambda arn=arn: sfn.describe_execution(executionArn=arn), lambda one: one["status"] == "SUCCEEDED")  # type: ignore[misc]
    return arns


@pytest.mark.parametrize("order", ["Ascending", "Descending"])
def test_list_processing_jobs(site: Site, jobs: list[str], order: str) -> None:
    """All jobs of a name and status, by creation time in either order."""
    found = pages(
        site.client("sagemaker"),
        "list_processing_jobs",
        "ProcessingJobSummaries",
        NameContains="paged-job",
        StatusEquals="Completed",
        SortBy="CreationTime",
        SortOrder=order,
    )
    assert len(found) == 3
    assert [one["ProcessingJobName"] for one in flat(found)] == (jobs if order == "Ascending" else jobs[::-1])


def test_list_executions(site: Site, executions: list[str]) -> None:
    """Newest first."""
    machine = executions[0].replace(":execution:", ":stateMachine:").rpartition(":")[0]
    sfn = site.client("stepfunctions")
    found = pages(sfn, "list_executions", "executions", stateMachineArn=machine, statusFilter="SUCCEEDED")
    assert len(found) == 3
    assert [one["executionArn"] for one in flat(found)] == executions[::-1]
    assert flat(pages(sfn, "list_executions", "executions", stateMachineArn=machine, statusFilter="FAILED")) == []


@pytest.mark.parametrize("reverse", [False, True])
def test_get_execution_history(site: Site, executions: list[str], reverse: bool) -> None:
    """Every event once, oldest or newest first."""
    sfn = site.client("stepfunctions")
    found = pages(sfn, "get_execution_history", "events", executionArn=executions[0], reverseOrder=reverse)
    ids = [event["id"] for event in flat(found)]
    assert len(found) == 3
    assert ids == ([6, 5, 4, 3, 2, 1] if reverse else [1, 2, 3, 4, 5, 6])


def test_list_state_machines(site: Site) -> None:
    """Every state machine once, whatever the order: AWS promises none."""
    sfn = site.client("stepfunctions")
    made = [site.unique("listed") for _ in range(3)]
    for name in made:
        sfn.create_state_machine(name=name, definition=PASS, roleArn=site.role_arn)
    names = [machine["name"] for machine in flat(pages(sfn, "list_state_machines", "stateMachines"))]
    assert sorted(name for name in names if name in made) == sorted(made)
    assert len(names) == len(set(names)) >= 3


def test_list_objects_v2(site: Site) -> None:
    """Keys in order, and common prefixes with a delimiter, over several pages."""
    keys = [f"listed/{name}" for name in ("a", "b/1", "b/2", "c/3", "z", "ü")]
    for key in keys:
        site.put(key, key)
    s3 = site.client("s3")
    found = pages(s3, "list_objects_v2", "Contents", Bucket=site.bucket, Prefix="listed/")
    assert len(found) == 3
    assert [item["Key"] for item in flat(found)] == keys
    for member, expected in (
        ("CommonPrefixes[].Prefix", ["listed/b/", "listed/c/"]),
        ("Contents[].Key", ["listed/a", "listed/z", "listed/ü"]),
    ):
        paged = s3.get_paginator("list_objects_v2").paginate(
            Bucket=site.bucket, Prefix="listed/", Delimiter="/", PaginationConfig={"PageSize": 2}
        )
        assert [one for one in paged.search(member) if one] == expected


@pytest.mark.parametrize("descending", [False, True])
def test_describe_log_streams(site: Site, jobs: list[str], descending: bool) -> None:
    """The streams of the jobs, one a container, by name."""
    found = pages(
        site.client("logs"),
        "describe_log_streams",
        "logStreams",
        logGroupName="/aws/sagemaker/ProcessingJobs",
        logStreamNamePrefix="paged-job-",
        descending=descending,
    )
    names = [stream["logStreamName"] for stream in flat(found)]
    assert len(found) == 3
    assert names == sorted(names, reverse=descending)
    assert {name.partition("/")[0] for name in names} == set(jobs)
    assert all(name.split("/")[1].startswith("algo-1-") for name in names)


def test_describe_log_streams_by_last_event(site: Site, jobs: list[str]) -> None:
    """Ordered by their last event, newest first, as the console asks; AWS allows no prefix then."""
    found = pages(
        site.client("logs"),
        "describe_log_streams",
        "logStreams",
        logGroupName="/aws/sagemaker/ProcessingJobs",
        orderBy="LastEventTime",
        descending=True,
    )
    times = [stream["lastEventTimestamp"] for stream in flat(found) if "lastEventTimestamp" in stream]
    assert len(times) >= len(jobs)
    assert times == sorted(times, reverse=True)


def test_filter_log_events(site: Site, jobs: list[str]) -> None:
    """The lines of all the jobs, by time, over several pages; a pattern chooses among them."""
    logs = site.client("logs")
    where: dict[str, Any] = {"logGroupName": "/aws/sagemaker/ProcessingJobs", "logStreamNamePrefix": "paged-job-"}
    found = flat(pages(logs, "filter_log_events", "events", **where))
    assert [event["message"] for event in found] == ["day.txt -> HELLO"] * len(jobs)
    assert [event["logStreamName"].partition("/")[0] for event in found] == jobs
    assert len(flat(pages(logs, "filter_log_events", "events", filterPattern="HELLO", **where))) == len(jobs)
    assert flat(pages(logs, "filter_log_events", "events", filterPattern="nowhere", **where)) == []


def test_get_log_events_of_a_stream(site: Site) -> None:
    """The tokens of GetLogEvents lead forward, and the last one repeats itself: that is how its end is told."""
    logs = site.client("logs")
    name = site.with_input("lines")
    for number in range(3):
        site.put(f"in/{name}/{number}.txt", str(number))
    sagemaker = site.client("sagemaker")
    sagemaker.create_processing_job(**site.job(name))
    until(
        lambda: sagemaker.describe_processing_job(ProcessingJobName=name),
        lambda job: job["ProcessingJobStatus"] == "Completed",
    )
    group = "/aws/sagemaker/ProcessingJobs"
    (stream,) = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=f"{name}/")["logStreams"]
    where = {"logGroupName": group, "logStreamName": stream["logStreamName"], "startFromHead": True, "limit": 2}
    lines: list[str] = []
    token: dict[str, str] = {}
    while True:
        page = logs.get_log_events(**where, **token)
        lines += [event["message"] for event in page["events"]]
        if token.get("nextToken") == page["nextForwardToken"]:
            break
        token = {"nextToken": page["nextForwardToken"]}
    assert lines == ["0.txt -> 0", "1.txt -> 1", "2.txt -> 2", "day.txt -> HELLO"]


def test_describe_stacks(site: Site) -> None:
    """Every stack once; one by name."""
    cloudformation = site.client("cloudformation")
    template = {"Resources": {"Bucket": {"Type": "AWS::S3::Bucket"}}}
    names = [site.unique("stack") for _ in range(2)]
    for name in names:
        cloudformation.create_stack(StackName=name, TemplateBody=json.dumps(template))
        cloudformation.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    found = [stack["StackName"] for stack in flat(pages(cloudformation, "describe_stacks", "Stacks", None))]
    assert set(names) <= set(found)
    assert len(found) == len(set(found))
    (one,) = flat(pages(cloudformation, "describe_stacks", "Stacks", None, StackName=names[0]))
    assert one["StackName"] == names[0]
