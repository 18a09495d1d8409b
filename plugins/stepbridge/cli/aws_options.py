"""The options with which ``deploy`` and ``preflight`` reach AWS or the local AWS, and the session that they make."""

import ipaddress
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import boto3
import botocore.session
import typer
from botocore.exceptions import BotoCoreError
from botocore.utils import validate_region_name

from stepbridge.cli.exit_codes import OptionError
from stepbridge.errors import CredentialsError, EndpointUnreachableError

RegionOption = Annotated[
    str | None, typer.Option(envvar=["AWS_REGION", "AWS_DEFAULT_REGION"], help="Default: the profile's.")
]
ProfileOption = Annotated[str | None, typer.Option(help="A profile of the AWS configuration.")]
EndpointUrlOption = Annotated[
    str | None, typer.Option(envvar="AWS_ENDPOINT_URL", help="The local AWS: http://127.0.0.1:4566")
]
ProjectOption = Annotated[
    Path, typer.Option(exists=True, file_okay=False, help="The project's folder: that with dags/, infra/ and asl/.")
]


def aws_session(region: str | None, profile: str | None, endpoint_url: str | None) -> boto3.Session:
    """The user's session; for an endpoint on this machine, keys and a region stand in for those that are not set.

    Raises OptionError for a region or an address that cannot be one and where no region is set, and CredentialsError
    for a profile that does not exist.
    """
    is_local = endpoint_url is not None and _is_on_this_machine(endpoint_url)
    try:
        found = botocore.session.Session(profile=profile)
        configured = found.get_config_variable("region")  # asked first: a profile that does not exist is refused here
        has_credentials = profile is not None or not is_local or found.get_credentials() is not None
    except BotoCoreError as error:
        remedy = "see `aws configure list-profiles`"
        raise CredentialsError("AWS configuration", str(error), "", remedy) from error
    region = region or configured or ("us-east-1" if is_local else None)
    if region is None:
        raise OptionError("AWS region", "none set", "one", "name it with --region, AWS_REGION or the profile")
    try:
        validate_region_name(region)
    except BotoCoreError:
        raise OptionError("AWS region", f"found {region!r}", "a region such as eu-west-1") from None
    if has_credentials:
        return boto3.Session(region_name=region, profile_name=profile)
    return boto3.Session(aws_access_key_id="local", aws_secret_access_key="local", region_name=region)


@contextmanager
def advice_for_a_shell() -> Iterator[None]:
    """Errors of the block say what a person at a shell does next, which the owner of an Airflow connection does not."""
    try:
        yield
    except CredentialsError as error:
        if error.action:
            error.remedy = "log in (`aws sso login`, `aws configure`) or name a profile with --profile"
        raise
    except EndpointUnreachableError as error:
        error.remedy = "check the network, --region and --endpoint-url; `stepbridge local up` starts the local AWS"
        raise


def _is_on_this_machine(endpoint_url: str) -> bool:
    """Raises OptionError for what is no HTTP address."""
    try:
        address = urlsplit(endpoint_url)
        is_address = address.scheme in ("http", "https") and address.hostname and address.port != 0
    except ValueError:  # a port out of range, brackets that do not close
        is_address = False
    if not is_address:
        raise OptionError("--endpoint-url", f"found {endpoint_url!r}", "an address such as http://127.0.0.1:4566")
    try:
        return address.hostname == "localhost" or ipaddress.ip_address(str(address.hostname)).is_loopback
    except ValueError:  # a name
        return False
