"""The local AWS's web pages, in the role of the AWS console: an execution, log streams, a build, objects.

Addresses, below ``/_stepbridge/``, each part of them percent-encoded: nothing more for the index of all that there is;
``executions/<ARN>``; and with ``?account=…&region=…`` ``jobs/<name>``, ``logs/<group>/<stream prefix>``,
``builds/<id>``, ``buckets/<bucket>?prefix=…`` and ``objects/<bucket>/<key>``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import parse_qs, quote, unquote, urlencode

from botocore.exceptions import ClientError

from stepbridge_local.pages.objects import Download, download, listing
from stepbridge_local.pages.overview import overview
from stepbridge_local.pages.templates import rendered
from stepbridge_local.pages.timeline import StateVisit, chart, duration, event_details, read_history

__all__ = ["ADDRESSES", "PREFIX", "Page", "Pages"]

PREFIX: Final = "/_stepbridge/"
ACCOUNT: Final = "123456789012"
REGION: Final = "us-east-1"
PROCESSING_LOG_GROUP: Final = "/aws/sagemaker/ProcessingJobs"
REFRESH_SECONDS: Final = 3
LINES: Final = 2000
FAILED_LINES: Final = 50
BRIEF_LENGTH: Final = 200
MISSING: Final = frozenset({
    "ExecutionDoesNotExist", "NoSuchBucket", "NoSuchKey", "ResourceNotFoundException", "StateMachineDoesNotExist",
})  # fmt: skip

Asked = Mapping[str, str]
"""The parameters of an address; ``account`` and ``region`` are always there."""

Clients = Callable[[str, str], Callable[[str], Any]]
"""``clients(account, region)(service)`` is a boto3 client."""


@dataclass(frozen=True)
class Page:
    """``status`` is the HTTP status line's."""

    status: str
    html: str


@dataclass(frozen=True)
class _Job:
    """A Processing job as a row of an execution's page. ``page`` and ``log`` are addresses."""

    state: str
    name: str
    status: str
    time: str
    message: str
    page: str
    log: str


@dataclass(frozen=True)
class _Stream:
    name: str
    lines: Sequence[str]
    cut: bool


class Pages:
    """Makes pages about the content of the local AWS, which it reads like any client."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    def page(self, path: str, query: str) -> Page | Download | None:
        """The page or object at ``path`` (as it came, still percent-encoded); None when nothing has that address."""
        word, *parts = [unquote(part) for part in path.removeprefix(PREFIX).split("/")]
        make = next((make for address, make in _PAGES.items() if _is_at(address, word, parts)), None)
        if make is None:
            return None
        asked = {"account": ACCOUNT, "region": REGION, **{key: values[0] for key, values in parse_qs(query).items()}}
        try:
            return make(self, asked, *parts)
        except ClientError as error:
            return _refused(error)

    def index(self, asked: Asked) -> Page:
        account, region = asked["account"], asked["region"]
        found = overview(self._clients(account, region), _place(account, region))
        values = {"title": "Local AWS", "account": account, "region": region, "refresh_seconds": REFRESH_SECONDS}
        return Page("200 OK", rendered("index", at=_moment, found=found, **values))

    def execution(self, _asked: Asked, arn: str) -> Page:
        parts = arn.split(":")
        if len(parts) != 8 or parts[5] != "execution":
            return _problem("400 Bad Request", f"{arn!r} is not the ARN of an execution.")
        client = self._clients(parts[4], parts[3])
        execution = client("stepfunctions").describe_execution(executionArn=arn)
        history = _history(client, arn)
        visits = read_history(history)
        running = execution["status"] == "RUNNING"
        ended_at = execution.get("stopDate") if not running else None
        jobs = [job for visit in visits for job in _jobs(client, visit)]
        values = {
            "title": f"{execution['status']} {execution['name']}",
            "place": f"account {parts[4]}, {parts[3]}",
            "refresh_seconds": REFRESH_SECONDS if running else None,
            "execution": execution,
            "ended_at": ended_at,
            "chart": chart(visits, execution["startDate"], ended_at or datetime.now(UTC)),
            "visits": [visit for visit in visits if visit.error],
            "jobs": jobs,
            "failed_lines": _failed_lines(client, jobs),
            "region_query": _place(parts[4], parts[3]),
            "cause": _indented(execution.get("cause")),
            "input": _indented(execution.get("input")),
            "output": _indented(execution.get("output")),
            "events": "\n".join(_event_line(event) for event in history),
        }
        return Page("200 OK", rendered("execution", at=_moment, indented=_indented, **values))

    def job(self, asked: Asked, name: str) -> Page:
        account, region = asked["account"], asked["region"]
        client = self._clients(account, region)
        job = client("sagemaker").describe_processing_job(ProcessingJobName=name)
        brief = _job("", job)
        facts = {key: value for key, value in job.items() if key != "ResponseMetadata"}
        status = job["ProcessingJobStatus"]
        values = {
            "title": f"{status} {name}",
            "place": f"account {account}, {region}",
            "refresh_seconds": REFRESH_SECONDS if status in ("InProgress", "Stopping") else None,
            "name": name,
            "region_query": _place(account, region),
            "job_status": status,
            "message": brief.message,
            "failed_lines": _failed_lines(client, [brief]),
            "description": json.dumps(facts, indent=2, ensure_ascii=False, default=str),
            "log": _log_link(account, region, name),
        }
        return Page("200 OK", rendered("job", **values))

    def logs(self, asked: Asked, group: str, prefix: str) -> Page:
        account, region = asked["account"], asked["region"]
        streams = list(_streams(self._clients(account, region), group, prefix))
        place = f"account {account}, {region}"
        html = rendered("logs", title=f"Log {prefix}", place=place, group=group, prefix=prefix, streams=streams)
        return Page("200 OK", html)

    def build(self, asked: Asked, build_id: str) -> Page:
        account, region = asked["account"], asked["region"]
        client = self._clients(account, region)
        builds = client("codebuild").batch_get_builds(ids=[build_id])["builds"]
        if not builds:
            return _problem("404 Not Found", f"There is no build {build_id!r} in account {account}, {region}.")
        build = builds[0]
        logs = build.get("logs", {})
        group, stream = logs.get("groupName", ""), logs.get("streamName", "")
        empty = _Stream("", (), False)
        values = {
            "title": f"{build['buildStatus']} {build_id}",
            "place": f"account {account}, {region}",
            "refresh_seconds": REFRESH_SECONDS if build["buildStatus"] == "IN_PROGRESS" else None,
            "build": build,
            "stream": next(_streams(client, group, stream), empty) if stream else empty,
        }
        return Page("200 OK", rendered("build", at=_moment, brief=_brief, **values))

    def objects(self, asked: Asked, bucket: str) -> Page:
        account, region, prefix = asked["account"], asked["region"], asked.get("prefix", "")
        found = listing(self._clients(account, region)("s3"), bucket, prefix, _place(account, region))
        values = {"title": f"s3://{bucket}/{prefix}", "place": f"account {account}, {region}"}
        return Page("200 OK", rendered("objects", at=_moment, found=found, **values))

    def object(self, asked: Asked, bucket: str, key: str) -> Download:
        return download(self._clients(asked["account"], asked["region"])("s3"), bucket, key)


# By address below the prefix; each part in angle brackets is one percent-encoded part of it.
_PAGES: Final[Mapping[str, Callable[..., Page | Download]]] = {
    "": Pages.index,
    "executions/<ARN>": Pages.execution,
    "jobs/<name>": Pages.job,
    "logs/<group>/<stream prefix>": Pages.logs,
    "builds/<id>": Pages.build,
    "buckets/<bucket>": Pages.objects,
    "objects/<bucket>/<key>": Pages.object,
}
ADDRESSES: Final = tuple(_PAGES)


def _is_at(address: str, word: str, parts: Sequence[str]) -> bool:
    first, *names = address.split("/")
    return first == word and len(names) == len(parts)


def _place(account: str, region: str) -> str:
    return urlencode({"account": account, "region": region})


def _problem(status: str, text: str) -> Page:
    return Page(status, rendered("problem", title=status.partition(" ")[2], text=text))


def _refused(error: ClientError) -> Page:
    code, message = error.response["Error"]["Code"], error.response["Error"]["Message"]
    return _problem("404 Not Found" if code in MISSING else "400 Bad Request", f"{code}: {message}")


def _history(client: Callable[[str], Any], arn: str) -> list[Mapping[str, Any]]:
    pages = client("stepfunctions").get_paginator("get_execution_history").paginate(executionArn=arn)
    return [event for page in pages for event in page["events"]]


def _jobs(client: Callable[[str], Any], visit: StateVisit) -> list[_Job]:
    return [
        _job(visit.name, client("sagemaker").describe_processing_job(ProcessingJobName=name)) for name in visit.jobs
    ]


def _job(state: str, job: Mapping[str, Any]) -> _Job:
    _, _, _, region, account, _ = job["ProcessingJobArn"].split(":", 5)
    name = job["ProcessingJobName"]
    return _Job(
        state=state,
        name=name,
        status=job["ProcessingJobStatus"],
        time=duration(job.get("ProcessingStartTime"), job.get("ProcessingEndTime")),
        message=job.get("ExitMessage") or job.get("FailureReason") or "",
        page=f"{PREFIX}jobs/{quote(name, safe='')}?account={account}&region={region}",
        log=_log_link(account, region, name),
    )


def _failed_lines(client: Callable[[str], Any], jobs: Sequence[_Job]) -> list[str]:
    """The end of the log of the last job, if that failed."""
    if not jobs or jobs[-1].status != "Failed":
        return []
    streams = _streams(client, PROCESSING_LOG_GROUP, f"{jobs[-1].name}/")
    return [line for stream in streams for line in stream.lines[-FAILED_LINES:]]


def _streams(client: Callable[[str], Any], group: str, prefix: str) -> Iterator[_Stream]:
    """The streams that begin with ``prefix``; none when there is no such group."""
    pages = client("logs").get_paginator("describe_log_streams")
    try:
        for page in pages.paginate(logGroupName=group, logStreamNamePrefix=prefix):
            for stream in page["logStreams"]:
                yield _stream(client, group, stream["logStreamName"])
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceNotFoundException":
            raise


def _stream(client: Callable[[str], Any], group: str, name: str) -> _Stream:
    answer = client("logs").get_log_events(logGroupName=group, logStreamName=name, startFromHead=False, limit=LINES)
    lines = [event["message"].rstrip("\r\n") for event in answer["events"]]
    return _Stream(name, lines, cut=len(lines) == LINES)


def _log_link(account: str, region: str, job_name: str) -> str:
    path = f"{PREFIX}logs/{quote(PROCESSING_LOG_GROUP, safe='')}/{quote(f'{job_name}/', safe='')}"
    return f"{path}?account={account}&region={region}"


def _event_line(event: Mapping[str, Any]) -> str:
    details = event_details(event)
    subject = details.get("name") or details.get("error") or ""
    return f"{_moment(event['timestamp'])}  {event['type']}  {subject}".rstrip()


def _moment(value: datetime | None) -> str:
    return value.isoformat(sep=" ", timespec="milliseconds") if value else "-"


def _brief(message: str) -> str:
    """A phase's message without the script that it repeats, which the log has."""
    _, reason, why = message.rpartition(" Reason: ")
    return f"…{reason}{why}" if reason and len(message) > BRIEF_LENGTH else message


def _indented(text: str | None) -> str:
    """JSON with its members on lines of their own; any other text as it is."""
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False) if text else ""
    except ValueError:
        return text or ""
