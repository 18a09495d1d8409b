"""Tasks that call other services of the local AWS: ``aws-sdk:*``, ``states``, ``sns``, ``sqs`` and ``events``.

moto's interpreter would call port 5000 of this machine. It also does not convert a state's arguments for the API call:
the case of member names, and objects to JSON text. Services that do nothing here are refused when the state machine is
created.
https://docs.aws.amazon.com/step-functions/latest/dg/supported-services-awssdk.html
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from datetime import datetime
from functools import cache
from typing import Any, Final

import botocore.session
from botocore.exceptions import UnknownServiceError
from botocore.model import OperationModel, StructureShape
from moto.stepfunctions.parser.asl.component.state.exec.state_task import state_task_factory
from moto.stepfunctions.parser.asl.component.state.exec.state_task.credentials import StateCredentials
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service import StateTaskService
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_aws_sdk import (
    StateTaskServiceAwsSdk,
)

from stepbridge_local.services.iam.moto.authorization import MotoDirectory, authorized_as_role
from stepbridge_local.services.iam.permissions import Permissions
from stepbridge_local.services.moto.application import MotoApplication
from stepbridge_local.services.moto.in_process_clients import in_process_clients
from stepbridge_local.services.moto.replacement import replace
from stepbridge_local.services.stepfunctions.moto.queries import iso_timestamp

__all__ = ["RoleClients", "install", "refusal"]

OPTIMISED_INTEGRATIONS: Final = frozenset({"aws-sdk", "events", "sagemaker", "sns", "sqs", "states"})
# The name of a service in aws-sdk integrations, and its name in boto3 and in error names.
SDK_SERVICES: Final = {
    "cloudformation": ("cloudformation", "CloudFormation"),
    "cloudwatchlogs": ("logs", "CloudWatchLogs"),
    "codebuild": ("codebuild", "CodeBuild"),
    "ecr": ("ecr", "Ecr"),
    "eventbridge": ("events", "EventBridge"),
    "iam": ("iam", "Iam"),
    "s3": ("s3", "S3"),
    "sagemaker": ("sagemaker", "SageMaker"),
    "sfn": ("stepfunctions", "Sfn"),
    "sns": ("sns", "Sns"),
    "sqs": ("sqs", "Sqs"),
    "sts": ("sts", "Sts"),
}
SESSION: Final = "StepFunctions"
_PACKAGE: Final = "moto.stepfunctions.parser.asl.component.state.exec"
_CLIENT_USERS: Final = (
    f"{_PACKAGE}.state_task.service.state_task_service_aws_sdk",
    f"{_PACKAGE}.state_task.service.state_task_service_events",
    f"{_PACKAGE}.state_task.service.state_task_service_sfn",
    f"{_PACKAGE}.state_task.service.state_task_service_sns",
    f"{_PACKAGE}.state_task.service.state_task_service_sqs",
)
_SERVICE_NAMES: Final = {"sfn": "stepfunctions", "states": "stepfunctions"}  # moto's names of optimised ones


def refusal(service_name: str) -> str | None:
    """Why tasks of an integration cannot run here, or None if they can."""
    if service_name in OPTIMISED_INTEGRATIONS:
        return None
    present = ", ".join(sorted(OPTIMISED_INTEGRATIONS))
    return (
        f"Resource: the local AWS cannot run tasks of the service {service_name!r}; it has {present}. Run the state "
        "machine on AWS, or test this state with TestState and a mock"
    )


# --- clients ----------------------------------------------------------------------------------------------------------
class RoleClients:
    """In-process clients with the permissions of a state's role, in its account."""

    def __init__(self, application: MotoApplication, permissions: Permissions, directory: MotoDirectory) -> None:
        self._application = application
        self._permissions = permissions
        self._directory = directory
        self._clients = cache(self._new_clients)

    def client_for(self, region: str, service: str, state_credentials: StateCredentials) -> Any:
        """Replaces boto_client_for."""
        return self._clients(state_credentials.role_arn, region)(service)

    def _new_clients(self, role_arn: str, region: str) -> Callable[[str], Any]:
        application = authorized_as_role(self._application, self._permissions, self._directory, role_arn, SESSION)
        return in_process_clients(application, role_arn.split(":")[4], region)


# --- arguments and results --------------------------------------------------------------------------------------------
@cache
def _operations(service: str) -> dict[str, OperationModel]:
    """The operations of a service by boto3's names for them in lower case without underscores."""
    model = botocore.session.Session().get_service_model(service)
    return {name.lower(): model.operation_model(name) for name in model.operation_names}


def _operation(task: StateTaskService, service: str | None = None, action: str | None = None) -> OperationModel:
    boto_service = service or task._get_boto_service_name()
    return _operations(boto_service)[(action or task._get_boto_service_action()).replace("_", "")]


def _normalise_parameters(
    self: StateTaskService,
    parameters: dict[str, Any],
    boto_service_name: str | None = None,
    service_action_name: str | None = None,
) -> None:
    """Replaces StateTaskService._normalise_parameters, which does nothing."""
    shape = _operation(self, boto_service_name, service_action_name).input_shape
    if isinstance(shape, StructureShape):
        self._to_boto_request(parameters, shape)


def _normalise_response(
    self: StateTaskService,
    response: Any,
    boto_service_name: str | None = None,
    service_action_name: str | None = None,
) -> None:
    """Replaces StateTaskService._normalise_response, which does nothing.

    Times are text in results of aws-sdk integrations, and milliseconds in those of optimised ones.
    """
    shape = _operation(self, boto_service_name, service_action_name).output_shape
    if isinstance(shape, StructureShape):
        self._from_boto_response(response, shape)
    _replace_times(response, iso_timestamp if isinstance(self, StateTaskServiceAwsSdk) else _milliseconds)


def _replace_times(value: Any, convert: Callable[[datetime], str | int]) -> None:
    places = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for place, item in list(places):
        if isinstance(item, datetime):
            value[place] = convert(item)
        else:
            _replace_times(item, convert)


def _milliseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


# --- aws-sdk ----------------------------------------------------------------------------------------------------------
def _validate_sdk_integration(self: StateTaskServiceAwsSdk) -> None:
    """Replaces the method that accepts every integration until it runs. Raises ValueError."""
    name, action = self.resource.api_name, self.resource.api_action
    if name not in SDK_SERVICES:
        raise ValueError(
            f"{self.resource.resource_arn}: the local AWS has no service {name!r}; it has {', '.join(SDK_SERVICES)}"
        )
    try:
        known = _operations(SDK_SERVICES[name][0])
    except UnknownServiceError as error:
        raise ValueError(f"{self.resource.resource_arn}: {error}") from error
    if action.lower() not in known:
        raise ValueError(f"{self.resource.resource_arn}: {name} has no operation {action!r}")


def _sdk_service(self: StateTaskService, boto_service_name: str | None = None) -> str:
    """Replaces StateTaskService._get_boto_service_name, which knows one of the names that differ."""
    name = boto_service_name or self.resource.api_name
    if isinstance(self, StateTaskServiceAwsSdk) and name in SDK_SERVICES:
        return SDK_SERVICES[name][0]
    return _SERVICE_NAMES.get(name, name)


def _error_prefix(service_name: str) -> str:
    """Replaces StateTaskServiceAwsSdk._normalise_service_error_name, which knows two of the names."""
    return SDK_SERVICES[service_name][1]


class _NotHere:
    """Replaces the states of Lambda functions in moto's factory."""

    def __init__(self) -> None:
        raise ValueError(
            "Resource: the local AWS has no Lambda functions; do the work in a Processing job or in an activity's "
            "worker, or test the state with TestState and a mock"
        )


def install(clients: RoleClients) -> None:
    """Let tasks call the services of the local AWS, with their roles."""

    for name in _CLIENT_USERS:
        replace(importlib.import_module(name), "boto_client_for", clients.client_for)
    replace(StateTaskService, "_normalise_parameters", _normalise_parameters)
    replace(StateTaskService, "_normalise_response", _normalise_response)
    replace(StateTaskService, "_get_boto_service_name", _sdk_service)
    replace(StateTaskServiceAwsSdk, "_validate_service_integration_is_supported", _validate_sdk_integration)
    replace(StateTaskServiceAwsSdk, "_normalise_service_error_name", staticmethod(_error_prefix))
    replace(state_task_factory, "StateTaskLambda", _NotHere)
