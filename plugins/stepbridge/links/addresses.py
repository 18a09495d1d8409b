"""Addresses of pages about an execution, a job's logs, a build or objects: in the AWS console, or of the local AWS.

Pure. AWS does not document the console's addresses as an interface; they are the ones that the console itself shows.
The local AWS has pages of its own (``stepbridge_local.pages``).
"""

from typing import Final
from urllib.parse import quote

_CONSOLES: Final = {
    "aws": "https://{region}.console.aws.amazon.com",
    "aws-cn": "https://{region}.console.amazonaws.cn",
    "aws-us-gov": "https://{region}.console.amazonaws-us-gov.com",
}


def execution_address(execution_arn: str, local_endpoint: str | None = None) -> str:
    """The page of the execution. ``local_endpoint`` is the local AWS's address, None on AWS."""
    if local_endpoint:
        return _local(local_endpoint, "executions", execution_arn)
    return f"{_home(execution_arn, 'states')}#/v2/executions/details/{execution_arn}"


def job_address(job_arn: str, local_endpoint: str | None = None) -> str:
    """The page of the Processing job."""
    name = job_arn.rpartition("/")[2]
    if local_endpoint:
        return f"{_local(local_endpoint, 'jobs', name)}?{_place(job_arn)}"
    return f"{_home(job_arn, 'sagemaker')}#/processing-jobs/{name}"


def log_address(arn: str, group: str, stream_prefix: str, local_endpoint: str | None = None) -> str:
    """The page of the group's log streams that begin with ``stream_prefix``. ``arn`` gives partition and region."""
    if local_endpoint:
        return f"{_local(local_endpoint, 'logs', group, stream_prefix)}?{_place(arn)}"
    # The console reads its own escapes: percent signs of the URL encoding become $25, and so on.
    escaped_group = _quoted(_quoted(group)).replace("%", "$")
    query = _quoted(f"?logStreamNameFilter={stream_prefix}").replace("%", "$")
    return f"{_home(arn, 'cloudwatch')}#logsV2:log-groups/log-group/{escaped_group}{query}"


def build_address(build_arn: str, local_endpoint: str | None = None) -> str:
    """The page of the CodeBuild build."""
    _, partition, _, region, account, resource = build_arn.split(":", 5)
    build_id = resource.removeprefix("build/")
    if local_endpoint:
        return f"{_local(local_endpoint, 'builds', build_id)}?{_place(build_arn)}"
    project = build_id.partition(":")[0]
    place = f"codesuite/codebuild/{account}/projects/{quote(project)}/build/{_quoted(build_id)}"
    return f"{_console(partition, region)}/{place}/log?region={region}"


def objects_address(uri: str, region: str, local_endpoint: str | None = None) -> str:
    """The page that lists what is below the S3 URI. ``region`` is the console's, and gives its partition."""
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    if local_endpoint:
        return f"{_local(local_endpoint, 'buckets', bucket)}?prefix={_quoted(prefix)}"
    region = region or "us-east-1"
    partition = {"cn": "aws-cn", "us-gov": "aws-us-gov"}.get(region.rsplit("-", 2)[0], "aws")
    return f"{_console(partition, region)}/s3/buckets/{bucket}?region={region}&prefix={_quoted(prefix)}"


def _local(endpoint: str, *path: str) -> str:
    return "/".join([endpoint.rstrip("/"), "_stepbridge", *map(_quoted, path)])


def _console(partition: str, region: str) -> str:
    return _CONSOLES.get(partition, _CONSOLES["aws"]).format(region=region)


def _home(arn: str, service: str) -> str:
    """The service's page in the console of the ARN's partition and region."""
    _, partition, _, region, *_ = arn.split(":")
    return f"{_console(partition, region)}/{service}/home?region={region}"


def _place(arn: str) -> str:
    """Account and region, as the local AWS's pages take them."""
    _, _, _, region, account, *_ = arn.split(":")
    return f"account={account}&region={region}"


def _quoted(text: str) -> str:
    return quote(text, safe="")
