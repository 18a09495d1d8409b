"""CloudWatch Logs: the lines of a stream, from its beginning or its end.

API: https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_GetLogEvents.html
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from stepbridge.aws.calls import aws_call
from stepbridge.errors import NotFoundError

if TYPE_CHECKING:
    from mypy_boto3_logs import CloudWatchLogsClient
    from mypy_boto3_logs.type_defs import GetLogEventsRequestTypeDef as _Request

PROCESSING_LOG_GROUP: Final = "/aws/sagemaker/ProcessingJobs"
"""Where SageMaker writes the output of Processing jobs, in streams ``<job>/algo-<n>-<time>``."""

MANY_LINES: Final = 1000
FEW_LINES: Final = 20


class CloudWatchLogs:
    """Log streams through one boto3 client. Every method raises ``AwsError``."""

    def __init__(self, client: CloudWatchLogsClient) -> None:
        self._client = client

    def streams(self, group: str, prefix: str) -> list[str]:
        """The streams of the group whose names begin with ``prefix``, by name; none when there is no such group."""
        try:
            with aws_call("logs:DescribeLogStreams", group):
                pages = self._client.get_paginator("describe_log_streams").paginate(
                    logGroupName=group, logStreamNamePrefix=prefix
                )
                return [stream["logStreamName"] for page in pages for stream in page["logStreams"]]
        except NotFoundError:
            return []

    def last_lines(self, group: str, stream: str, count: int) -> list[str]:
        """At most ``count`` lines from the end of the stream; none when there is no such stream."""
        end: _Request = {"logGroupName": group, "logStreamName": stream, "startFromHead": False, "limit": count}
        return self._events(end)[0][-count:]

    def job_lines(self, job_name: str, count: int) -> list[str]:
        """At most ``count`` last lines of each container of the Processing job; each host's lines under its name.

        Of many hosts' lines there are fewer of each, so that there are not many more than ``MANY_LINES``.
        """
        streams = self.streams(PROCESSING_LOG_GROUP, f"{job_name}/")
        count = min(count, max(MANY_LINES // max(len(streams), 1), FEW_LINES))
        lines: list[str] = []
        for stream in streams:
            if len(streams) > 1:
                lines.append(f"--- {stream.removeprefix(f'{job_name}/')}")
            lines += self.last_lines(PROCESSING_LOG_GROUP, stream, count)
        return lines

    def tail(self, group: str, stream: str) -> LogTail:
        """A reader that hands out each line of the stream once."""
        return LogTail(self, group, stream)

    def job_tail(self, job_name: str) -> LogTail:
        """The same for the first container of a Processing job, whose stream's name is known once it writes."""
        return LogTail(self, PROCESSING_LOG_GROUP, "", f"{job_name}/")

    def page(self, group: str, stream: str, token: str | None) -> tuple[list[str], str | None]:
        """The lines after ``token`` (None: from the beginning) and the next token."""
        request: _Request = {"logGroupName": group, "logStreamName": stream, "startFromHead": True}
        if token:
            request["nextToken"] = token
        return self._events(request)

    def _events(self, request: _Request) -> tuple[list[str], str | None]:
        resource = f"{request.get('logGroupName')}:{request['logStreamName']}"
        try:
            with aws_call("logs:GetLogEvents", resource):
                answer = self._client.get_log_events(**request)
        except NotFoundError:  # a stream appears with its first line
            return [], request.get("nextToken")
        return [event["message"].rstrip("\r\n") for event in answer["events"]], answer["nextForwardToken"]


@dataclass
class LogTail:
    """Hands out each line of a log stream once, in order; a stream that does not exist yet has no lines.

    Without the name of the stream it is the first that begins with ``prefix``.
    """

    logs: CloudWatchLogs
    group: str
    stream: str
    prefix: str = ""
    token: str | None = None

    def new_lines(self) -> list[str]:
        """The lines since the last call. A page may be empty before the end; an unchanged token is the end."""
        fresh: list[str] = []
        if not self.stream:
            self.stream = next(iter(self.logs.streams(self.group, self.prefix)), "")
        while self.stream:
            lines, token = self.logs.page(self.group, self.stream, self.token)
            fresh += lines
            if token == self.token:
                break
            self.token = token
        return fresh
