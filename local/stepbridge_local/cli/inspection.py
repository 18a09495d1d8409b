"""``stepbridge-local status``, ``logs`` and ``reset``: looking at a local AWS, and emptying it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import asdict
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from stepbridge_local.cli.endpoint import DataDir, EndpointUrl, endpoint_of, health_of
from stepbridge_local.cli.exit_codes import ExitCode
from stepbridge_local.errors import ConfigurationError, LocalAwsError
from stepbridge_local.settings import DEFAULT_DATA_DIR

if TYPE_CHECKING:
    from stepbridge_local.persistence.inspection import Contents, Holder

__all__ = ["register"]

LOG_GROUP: Final = "/aws/sagemaker/ProcessingJobs"
FOLLOW_SECONDS: Final = 0.5
ENDED: Final = frozenset({"Completed", "Failed", "Stopped"})


def register(app: typer.Typer) -> None:
    """Add the commands to ``app``."""
    for command in (status, logs, reset):
        app.command()(command)


def status(
    data_dir: DataDir = DEFAULT_DATA_DIR,
    endpoint_url: EndpointUrl = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Show what is running and what the data folder contains. The exit code is 3 if no local AWS is using it."""
    from stepbridge_local.persistence.inspection import contents_of, holder_of

    if endpoint_url is not None:
        data_dir = Path(health_of(endpoint_url)["data_dir"])
    if not data_dir.is_dir():
        raise ConfigurationError(str(data_dir), "no data folder", "", "name it with --data-dir, or --endpoint-url")
    holder, contents = holder_of(data_dir), contents_of(data_dir)
    health = None if holder is None else health_of(holder.url)
    if as_json:
        running = None if holder is None else asdict(holder) | {"uptime_seconds": round(holder.uptime_seconds, 1)}
        typer.echo(json.dumps({"running": running, "health": health, "data_dir": str(data_dir)} | asdict(contents)))
    else:
        _show(holder, health, contents, data_dir)
    if holder is None:
        raise typer.Exit(ExitCode.NOT_RUNNING)


def _show(holder: Holder | None, health: dict[str, Any] | None, contents: Contents, data_dir: Path) -> None:
    if holder is None or health is None:
        typer.echo("local AWS   not running")
    else:
        days, seconds = divmod(int(holder.uptime_seconds), 86_400)
        uptime = f"{days} d " * bool(days) + time.strftime("%H:%M:%S", time.gmtime(seconds))
        typer.echo(f"local AWS   {holder.url}  process {holder.pid}  up {uptime}")
        typer.echo(f"runtime     {health['runtime']}")
    jobs = f"{contents.running_jobs} running, {contents.queued_jobs} queued"
    typer.echo(f"jobs        {jobs}{_counts(contents.jobs_by_status)}")
    executions = contents.executions_by_status
    typer.echo(f"executions  {executions.get('RUNNING', 0)} running{_counts(executions)}")
    parts = ", ".join(f"{name} {_size(size)}" for name, size in contents.bytes_by_folder.items() if size)
    typer.echo(f"disk        {_size(contents.bytes_total)} in {data_dir}" + (f" ({parts})" if parts else ""))


def logs(
    job: Annotated[str, typer.Argument(help="The name of the processing job.")],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Continue until the job has ended.")] = False,
    region: Annotated[str, typer.Option(help="The job's region.")] = "us-east-1",
    data_dir: DataDir = DEFAULT_DATA_DIR,
    endpoint_url: EndpointUrl = None,
) -> None:
    """Print the log of a processing job. If it has several instances, each line begins with its host."""
    import boto3  # takes half a second, which --help does not need
    from botocore.exceptions import BotoCoreError

    url = endpoint_of(data_dir, endpoint_url)
    session = boto3.session.Session(aws_access_key_id="local", aws_secret_access_key="local", region_name=region)
    try:
        sagemaker: Any = session.client("sagemaker", endpoint_url=url)
        client: Any = session.client("logs", endpoint_url=url)
    except (BotoCoreError, ValueError) as error:  # an invalid --region or --endpoint-url
        raise ConfigurationError(f"{url} in {region}", str(error)) from None
    described = _described(sagemaker, job)
    several = described["ProcessingResources"]["ClusterConfig"]["InstanceCount"] > 1
    seen = _Seen()
    while True:
        # Read the status first: everything that a job wrote is in the log before the job has ended.
        has_ended = _described(sagemaker, job)["ProcessingJobStatus"] in ENDED
        for event in seen.new(_events(client, job, seen.latest)):
            host = event["logStreamName"].removeprefix(f"{job}/").rsplit("-", 1)[0]
            typer.echo(f"{host}: {event['message']}" if several else event["message"])
        if has_ended or not follow:
            return
        time.sleep(FOLLOW_SECONDS)


def reset(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Remove everything in a data folder: objects, images, records, logs. Refused while a local AWS is using it."""
    from stepbridge_local.persistence import inspection

    if not yes:
        typer.confirm(f"Remove all objects, images and records in {data_dir}?", abort=True)
    inspection.reset(data_dir)
    typer.echo(f"{data_dir} is empty")


class _Seen:
    """Remembers which log events were printed: only those of the latest moment, because no earlier ones can follow."""

    def __init__(self) -> None:
        self.latest = 0
        self._ids: set[str] = set()

    def new(self, events: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """The events that were not there before."""
        for event in events:
            if event["eventId"] in self._ids:
                continue
            if event["timestamp"] > self.latest:
                self.latest = event["timestamp"]
                self._ids.clear()
            self._ids.add(event["eventId"])
            yield event


def _events(client: Any, job: str, since: int) -> Iterator[dict[str, Any]]:
    """The events of all hosts since the moment, in milliseconds, in the order they were written."""
    pages = client.get_paginator("filter_log_events").paginate(
        logGroupName=LOG_GROUP, logStreamNamePrefix=f"{job}/", startTime=since
    )
    try:
        for page in pages:
            yield from page["events"]
    except client.exceptions.ResourceNotFoundException:
        return  # no job has written a line yet


def _described(sagemaker: Any, job: str) -> dict[str, Any]:
    from botocore.exceptions import ClientError, EndpointConnectionError

    try:
        described: dict[str, Any] = sagemaker.describe_processing_job(ProcessingJobName=job)
    except EndpointConnectionError as failure:
        raise LocalAwsError(job, f"no answer of a local AWS: {failure}") from None
    except ClientError as refusal:
        summaries = sagemaker.list_processing_jobs(MaxResults=100)["ProcessingJobSummaries"]
        names = [summary["ProcessingJobName"] for summary in summaries]
        matches = get_close_matches(job, names, n=5, cutoff=0.5) or names[:5]
        remedy = f"jobs there are: {', '.join(matches)}" if matches else "there are no jobs"
        found = refusal.response["Error"]["Message"]
        raise ConfigurationError(job, found, "the name of a processing job", remedy) from None
    return described


def _counts(by_status: Any) -> str:
    ended = ", ".join(f"{count} {status}" for status, count in sorted(by_status.items()))
    return f" ({ended})" if ended else ""


def _size(size_bytes: float) -> str:
    for unit in ("B", "KB", "MB", "GB"):
        if size_bytes < 1024 or unit == "GB":
            return f"{size_bytes:.0f} {unit}" if unit in ("B", "KB") else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1024
    raise AssertionError("the last unit takes any size")
