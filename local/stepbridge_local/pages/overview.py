"""The index page: the newest executions, jobs and builds of an account's region, and its buckets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

from stepbridge_local.pages.objects import address_of

__all__ = ["Overview", "Row", "overview"]

MOST: Final = 50


@dataclass(frozen=True)
class Row:
    """One execution, job or build. ``group`` is an execution's state machine, ``page`` the address of its page."""

    name: str
    page: str
    status: str
    started: datetime
    ended: datetime | None
    group: str = ""


@dataclass(frozen=True)
class Overview:
    """At most ``most`` of each kind, the newest first."""

    executions: list[Row]
    jobs: list[Row]
    builds: list[Row]
    buckets: list[tuple[str, str]]
    most: int = MOST


def overview(client: Callable[[str], Any], place: str) -> Overview:
    """What there is, asked for as any client asks. ``place`` is the query that names account and region."""
    executions = sorted(_executions(client("stepfunctions")), key=lambda row: row.started, reverse=True)
    buckets = client("s3").list_buckets()["Buckets"]
    return Overview(
        executions[:MOST],
        list(_jobs(client("sagemaker"), place)),
        list(_builds(client("codebuild"), place)),
        [(bucket["Name"], address_of(bucket["Name"], "", place)) for bucket in buckets],
    )


def _executions(machines: Any) -> Iterator[Row]:
    for page in machines.get_paginator("list_state_machines").paginate():
        for machine in page["stateMachines"]:
            if machine["type"] == "EXPRESS":
                continue
            found = machines.list_executions(stateMachineArn=machine["stateMachineArn"], maxResults=MOST)
            for each in found["executions"]:
                page_address = f"executions/{quote(each['executionArn'], safe='')}"
                ended = each.get("stopDate")
                yield Row(each["name"], page_address, each["status"], each["startDate"], ended, machine["name"])


def _jobs(sagemaker: Any, place: str) -> Iterator[Row]:
    found = sagemaker.list_processing_jobs(SortBy="CreationTime", SortOrder="Descending", MaxResults=MOST)
    for job in found["ProcessingJobSummaries"]:
        name = job["ProcessingJobName"]
        page = f"jobs/{quote(name, safe='')}?{place}"
        yield Row(name, page, job["ProcessingJobStatus"], job["CreationTime"], job.get("ProcessingEndTime"))


def _builds(codebuild: Any, place: str) -> Iterator[Row]:
    ids = codebuild.list_builds(sortOrder="DESCENDING")["ids"][:MOST]
    for build in codebuild.batch_get_builds(ids=ids)["builds"] if ids else ():
        page = f"builds/{quote(build['id'], safe='')}?{place}"
        yield Row(build["id"], page, build["buildStatus"], build["startTime"], build.get("endTime"))
