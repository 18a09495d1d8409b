"""``stepbridge deploy``: the stack, on AWS or on the local AWS."""

from __future__ import annotations

import ipaddress
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

import boto3
import botocore.session
import typer
from botocore.exceptions import BotoCoreError

from stepbridge.aws.calls import AwsError, CredentialsError, EndpointUnreachableError
from stepbridge.core.deployment import Deployment
from stepbridge.deployment.deployment import DEFAULT_STACK_NAME, deploy_stack, preview_deployment
from stepbridge.errors import ConfigurationError, StepbridgeError

__all__ = ["aws_session", "deploy", "deploy_stack"]

VARIABLE: Final = "stepbridge"


def deploy(
    stack_name: Annotated[str, typer.Option(help="The bucket, the roles and the rest are named after it.")] = (
        DEFAULT_STACK_NAME
    ),
    region: Annotated[
        str | None, typer.Option(envvar=["AWS_REGION", "AWS_DEFAULT_REGION"], help="Default: the profile's.")
    ] = None,
    profile: Annotated[str | None, typer.Option(help="A profile of the AWS configuration.")] = None,
    endpoint_url: Annotated[
        str | None, typer.Option(envvar="AWS_ENDPOINT_URL", help="The local AWS: http://127.0.0.1:4566")
    ] = None,
    parameter: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="A parameter of infra/stack.yaml; repeatable.")
    ] = None,
    template_bucket: Annotated[
        str | None, typer.Option(help="Where to put a template that is too large to be sent with the call.")
    ] = None,
    project: Annotated[
        Path, typer.Option(exists=True, file_okay=False, help="The folder with infra/ and asl/.")
    ] = Path(),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    output: Annotated[Path | None, typer.Option(dir_okay=False, help="Also write the deployment to this file.")] = None,
    airflow_variable: Annotated[
        bool, typer.Option("--airflow-variable", help="Also set the Airflow Variable with this machine's `airflow`.")
    ] = False,
) -> None:
    """Create or update the stack and print the deployment as JSON; progress goes to stderr.

    The JSON is what the Airflow Variable `stepbridge` holds. A second deploy changes nothing.
    """
    parameters = _parameters(parameter or [])
    try:
        session = aws_session(region, profile, endpoint_url)
        if dry_run:
            preview_deployment(
                session,
                project_root=project,
                say=_say,
                endpoint_url=endpoint_url,
                stack_name=stack_name,
                parameters=parameters,
                template_bucket=template_bucket,
            )
            return
        deployment = deploy_stack(
            session,
            project_root=project,
            say=_say,
            endpoint_url=endpoint_url,
            stack_name=stack_name,
            parameters=parameters,
            template_bucket=template_bucket,
        )
    except AwsError as error:
        raise _for_a_shell(error) from error
    typer.echo(deployment.to_json())
    if output is not None:
        output.write_text(deployment.to_json() + "\n", encoding="utf-8")
    if airflow_variable:
        _set_airflow_variable(deployment)


def _say(line: str) -> None:
    typer.echo(line, err=True)


def _parameters(assignments: list[str]) -> dict[str, str]:
    wrong = [text for text in assignments if "=" not in text or text.startswith("=")]
    if wrong:
        found = ", ".join(map(repr, wrong))
        raise ConfigurationError("--parameter", found, "NAME=VALUE", "for instance --parameter LogRetentionDays=30")
    return dict(text.split("=", 1) for text in assignments)


def aws_session(region: str | None, profile: str | None, endpoint_url: str | None) -> boto3.Session:
    """The user's session; for an endpoint on this machine, keys and a region stand in for those that are not set."""
    try:
        found = botocore.session.Session(profile=profile)
        region = region or found.get_config_variable("region")
        if not _is_loopback(endpoint_url):
            return boto3.Session(region_name=region, profile_name=profile)
        if profile or found.get_credentials() is not None:
            return boto3.Session(region_name=region or "us-east-1", profile_name=profile)
    except BotoCoreError as error:
        remedy = "see `aws configure list-profiles`"
        raise CredentialsError("AWS configuration", str(error), "", remedy) from error
    return boto3.Session(aws_access_key_id="local", aws_secret_access_key="local", region_name=region or "us-east-1")


def _is_loopback(endpoint_url: str | None) -> bool:
    host = urlsplit(endpoint_url).hostname if endpoint_url else None
    if host is None or host == "localhost":
        return host is not None
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name
        return False


def _for_a_shell(error: AwsError) -> AwsError:
    """The error with what a person at a shell does next, which is not what the owner of an Airflow connection does."""
    if isinstance(error, CredentialsError) and error.action:
        error.remedy = "log in (`aws sso login`, `aws configure`) or name a profile with --profile"
    elif isinstance(error, EndpointUnreachableError):
        error.remedy = (
            "check the network, --region and --endpoint-url; the local AWS is started by `stepbridge local up`"
        )
    return error


def _set_airflow_variable(deployment: Deployment) -> None:
    """Raises ConfigurationError with what `airflow` said when it fails."""
    command = [sys.executable, "-m", "airflow", "variables", "set", VARIABLE, deployment.to_json()]
    command += ["--description", "What `stepbridge deploy` made; read when tasks run"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = "\n".join((done.stderr or done.stdout).strip().splitlines()[-5:])
        remedy = "set AIRFLOW_HOME as Airflow's own processes have it, or paste the JSON under Admin > Variables"
        raise StepbridgeError(f"Airflow Variable {VARIABLE}", f"not set: {said}", "", remedy)
    _say(f"Airflow Variable {VARIABLE}: set")
