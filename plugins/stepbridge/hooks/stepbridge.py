"""The Airflow hook: a typed client per AWS service, all from one session.

The Amazon provider handles the connection: ``aws_default`` and its extras (endpoint_url, region_name, role_arn,
config_kwargs, verify, service_config) mean what they mean there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import urlsplit

from airflow.providers.amazon.aws.hooks.base_aws import AwsGenericHook
from botocore.config import Config

from stepbridge.aws.calls import aws_call
from stepbridge.aws.codebuild import CodeBuild
from stepbridge.aws.ecr import Ecr
from stepbridge.aws.logs import CloudWatchLogs
from stepbridge.aws.s3 import S3
from stepbridge.aws.sagemaker import SageMaker
from stepbridge.aws.sqs import Sqs
from stepbridge.aws.step_functions import StepFunctions

if TYPE_CHECKING:
    import boto3

Typed = TypeVar("Typed")

_DEFAULTS: Final = Config(retries={"mode": "standard", "total_max_attempts": 8}, connect_timeout=10)
"""Retries for throttling and short failures; the connection's config_kwargs go before it."""

_AWS_DOMAINS: Final = (".amazonaws.com", ".amazonaws.com.cn", ".api.aws", ".api.amazonwebservices.com.cn")


def _service(typed: Callable[[Any], Typed], name: str) -> cached_property[Typed]:
    """The typed client of the service that boto3 calls ``name``, made when it is first used."""
    return cached_property(lambda hook: typed(hook._client_of(name)))


class StepbridgeHook(AwsGenericHook[Any]):
    """Typed access to the services that stepbridge uses. Session and clients are created once.

    :param aws_conn_id: the Airflow connection; None means boto3's own search for credentials.
    :param region_name: overrides the connection's region.
    """

    step_functions = _service(StepFunctions, "stepfunctions")
    sagemaker = _service(SageMaker, "sagemaker")
    ecr = _service(Ecr, "ecr")
    s3 = _service(S3, "s3")
    codebuild = _service(CodeBuild, "codebuild")
    sqs = _service(Sqs, "sqs")
    logs = _service(CloudWatchLogs, "logs")

    def __init__(self, aws_conn_id: str | None = "aws_default", region_name: str | None = None) -> None:
        super().__init__(aws_conn_id=aws_conn_id, region_name=region_name)
        self._clients: dict[str, Any] = {}
        self._making_client = threading.RLock()  # a session makes one client at a time

    def clone(self) -> StepbridgeHook:
        """Another hook for the same connection, with a session and clients of its own.

        A connection that was read is not read from Airflow again: a signal handler could wait for an answer that the
        interrupted code waits for.
        """
        other = StepbridgeHook(self.aws_conn_id, self.region_name)
        if "conn_config" in vars(self):
            vars(other)["conn_config"] = self.conn_config
        return other

    def local_endpoint(self, service: str) -> str | None:
        """The endpoint in use when it is not AWS's own (the local AWS, say); None when it is.

        The client knows it: it may come from the connection, a profile or AWS_ENDPOINT_URL.
        """
        endpoint: str = self._client_of(service).meta.endpoint_url
        host = urlsplit(endpoint).hostname or ""
        return None if host.endswith(_AWS_DOMAINS) else endpoint

    @cached_property
    def _session(self) -> boto3.session.Session:
        return self.get_session(region_name=self.region_name)

    @cached_property
    def _client_config(self) -> Config:
        # The provider's user agent walks the call stack and reads source lines: once per hook is enough.
        return self._get_config(_DEFAULTS.merge(self.config))

    def _client_of(self, service: str) -> Any:
        with self._making_client, aws_call(f"a client for {service}", f"Airflow connection {self.aws_conn_id!r}"):
            if service not in self._clients:
                self._clients[service] = self._session.client(  # type: ignore[call-overload]  # a name for each service
                    service,
                    endpoint_url=self.conn_config.get_service_endpoint_url(service),
                    config=self._client_config,
                    verify=self.verify,
                )
            return self._clients[service]
