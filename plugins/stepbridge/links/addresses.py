"""Addresses of pages about an execution, a job's logs, a build or objects: in the AWS console, or of the local AWS.

Pure. AWS does not document the console's addresses as an interface; they are the ones that the console itself shows.
The local AWS has pages of its own (``stepbridge_local.pages``).
"""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

__all__ = ["build_address", "execution_address", "job_address", "log_address", "objects_address"]

_CONSOLES: Final = {
    "aws": "https://{region}.console.aws.amazon.com",
    "aws-cn": "https://{region}.console.amazonaws.cn",
    "aws-us-gov": "https://{region}.console.amazonaws-us-gov.com",
}

_PARTITIONS: Final = {"cn-": "aws-cn", "us-gov-": "aws-us-gov"}


def execution_address(execution_arn: str, local_endpoint: str | None = None) -> str:
    """The page of the execution. ``local_endpoint`` is the local AWS's address, None on AWS."""
    if local_endpoint:
        return f"{_local(local_endpoint)}/executions/{quote(execution_arn, safe='')}"
    return (
        f"{_console(execution_arn)}/states/home?region={_region(execution_arn)}#/v2/executions/details/{execution_arn}"
    )


def job_address(job_arn: str, local_endpoint: str | None = None) -> str:
    """The page of the Processing job."""
    name = job_arn.rpartition("/")[2]
    if local_endpoint:
        return f"{_local(local_endpoint)}/jobs/{quote(name, safe='')}?{_place(job_arn)}"
    return f"{_console(job_arn)}/sagemaker/home?region={_region(job_arn)}#/processing-jobs/{name}"


def log_address(arn: str, group: str, stream_prefix: str, local_endpoint: str | None = None) -> str:
    """The page of the group's log streams that begin with ``stream_prefix``. ``arn`` gives partition and region."""
    if local_endpoint:
        place = f"{_local(local_endpoint)}/logs/{quote(group, safe='')}/{quote(stream_prefix, safe='')}"
        return f"{place}?{_place(arn)}"
    # The console reads its own escapes: percent signs of the URL encoding become $25, and so on.
    fragment = f"logsV2:log-groups/log-group/{_twice(group)}"
    query = f"?logStreamNameFilter={stream_prefix}"
    query = quote(query, safe="").replace("%", "$")
    return f"{_console(arn)}/cloudwatch/home?region={_region(arn)}#{fragment}{query}"


def build_address(build_arn: str, local_endpoint: str | None = None) -> str:
    """The page of the CodeBuild build."""
    _, _, _, region, account, resource = build_arn.split(":", 5)
    build_id = resource.removeprefix("build/")
    if local_endpoint:
        return f"{_local(local_endpoint)}/builds/{quote(build_id, safe='')}?{_place(build_arn)}"
    project = build_id.partition(":")[0]
    place = f"codesuite/codebuild/{account}/projects/{quote(project)}/build/{quote(build_id, safe='')}"
    return f"{_console(build_arn)}/{place}/log?region={region}"


def objects_address(uri: str, region: str, local_endpoint: str | None = None) -> str:
    """The page that lists what is below the S3 URI. ``region`` is the console's, and gives its partition."""
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    if local_endpoint:
        return f"{_local(local_endpoint)}/buckets/{quote(bucket, safe='')}?prefix={quote(prefix, safe='')}"
    partition = next((name for start, name in _PARTITIONS.items() if region.startswith(start)), "aws")
    console = _CONSOLES[partition].format(region=region or "us-east-1")
    return f"{console}/s3/buckets/{bucket}?region={region or 'us-east-1'}&prefix={quote(prefix, safe='')}"


def _local(endpoint: str) -> str:
    return f"{endpoint.rstrip('/')}/_stepbridge"


def _console(arn: str) -> str:
    return _CONSOLES.get(arn.split(":")[1], _CONSOLES["aws"]).format(region=_region(arn))


def _region(arn: str) -> str:
    return arn.split(":")[3]


def _place(arn: str) -> str:
    return f"account={arn.split(':')[4]}&region={_region(arn)}"


def _twice(text: str) -> str:
    return quote(quote(text, safe=""), safe="").replace("%", "$")
