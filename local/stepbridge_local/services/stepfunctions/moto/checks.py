"""What the operations on state machines refuse and describe as AWS does: ARNs, pages, logging and encryption.

https://docs.aws.amazon.com/step-functions/latest/apireference/API_CreateStateMachine.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from moto.core.responses import ActionResult
from moto.stepfunctions.parser.asl.utils import json_path
from moto.stepfunctions.parser.models import StepFunctionsParserBackend
from moto.stepfunctions.responses import StepFunctionResponse

from stepbridge_local.services.moto.api_errors import ApiError
from stepbridge_local.services.moto.replacement import replace
from stepbridge_local.services.stepfunctions.moto.errors import as_json
from stepbridge_local.services.stepfunctions.moto.pages import page_of
from stepbridge_local.services.stepfunctions.moto.start_execution import check_arn

__all__ = ["install"]

# The operations whose ARN moto checks in other words, or not at all, and the member and type of the ARN.
_ARNS: Final[Mapping[str, tuple[str, str]]] = {
    "describe_state_machine": ("stateMachineArn", "stateMachine"),
    "update_state_machine": ("stateMachineArn", "stateMachine"),
    "delete_state_machine": ("stateMachineArn", "stateMachine"),
    "publish_state_machine_version": ("stateMachineArn", "stateMachine"),
    "list_state_machine_versions": ("stateMachineArn", "stateMachine"),
    "delete_state_machine_version": ("stateMachineVersionArn", "stateMachine"),
    "describe_state_machine_alias": ("stateMachineAliasArn", "stateMachine"),
    "update_state_machine_alias": ("stateMachineAliasArn", "stateMachine"),
    "delete_state_machine_alias": ("stateMachineAliasArn", "stateMachine"),
    "describe_state_machine_for_execution": ("executionArn", "execution"),
}
_LOG_GROUP: Final = re.compile(r"arn:[^:]+:logs:[^:]+:\d{12}:log-group:[^:]+:\*")
_UPDATED: Final = (
    "definition",
    "role_arn",
    "logging_configuration",
    "tracing_configuration",
    "encryption_configuration",
)
REUSE_SECONDS: Final = 300  # of a customer's key, if the request does not say


def _with_checked_arn(name: str, member: str, arn_type: str) -> Callable[[StepFunctionResponse], Any]:
    original: Callable[[StepFunctionResponse], Any] = getattr(StepFunctionResponse, name)

    def operation(self: StepFunctionResponse) -> Any:
        check_arn(self._get_param(member), arn_type)
        return original(self)

    return operation


def list_state_machines(self: StepFunctionResponse) -> ActionResult:
    machines = sorted(
        self.stepfunction_backend.state_machines, key=lambda machine: (machine.creation_date, machine.arn)
    )
    page, token = page_of(self, machines)
    listed = [
        {"stateMachineArn": one.arn, "name": one.name, "type": one.type, "creationDate": one.creation_date}
        for one in page
    ]
    return ActionResult({"stateMachines": listed, **token})


def list_state_machine_aliases(self: StepFunctionResponse) -> ActionResult:
    arn = self._get_param("stateMachineArn")
    check_arn(arn, "stateMachine")
    machine: Any = self.stepfunction_backend.describe_state_machine(":".join(arn.split(":")[:7]))
    aliases = sorted(machine.aliases.values(), key=lambda alias: (alias.creation_date, alias.arn))
    page, token = page_of(self, aliases)
    listed = [{"stateMachineAliasArn": one.arn, "creationDate": one.creation_date} for one in page]
    return ActionResult({"stateMachineAliases": listed, **token})


# --- logging and encryption -------------------------------------------------------------------------------------------
def logging_of(given: Mapping[str, Any] | None) -> dict[str, Any]:
    """The logging configuration with its defaults. Raises InvalidLoggingConfiguration."""
    configuration = {"level": "OFF", "includeExecutionData": False, **(given or {})}
    destinations = configuration.get("destinations") or []
    if configuration["level"] == "OFF" and not destinations:
        configuration.pop("destinations", None)
        return configuration
    groups = [(one.get("cloudWatchLogsLogGroup") or {}).get("logGroupArn") or "" for one in destinations]
    if len(groups) != 1:
        raise _invalid_logging("Must specify exactly one Log Destination.")
    if not _LOG_GROUP.fullmatch(groups[0]):
        raise _invalid_logging(f"Log Destination is not the ARN of a log group that ends with ':*': {groups[0]}")
    return configuration


def _invalid_logging(reason: str) -> ApiError:
    return ApiError("InvalidLoggingConfiguration", f"Invalid Logging Configuration: {reason}")


def encryption_of(given: Mapping[str, Any] | None) -> dict[str, Any]:
    """The encryption configuration with its defaults. Raises InvalidEncryptionConfiguration."""
    configuration = dict(given or {"type": "AWS_OWNED_KEY"})
    key = configuration.get("kmsKeyId")
    if configuration.get("type") == "CUSTOMER_MANAGED_KMS_KEY":
        if not key:
            raise _invalid_encryption("kmsKeyId is required for CUSTOMER_MANAGED_KMS_KEY")
        return {"kmsDataKeyReusePeriodSeconds": REUSE_SECONDS, **configuration}
    if key or configuration.get("kmsDataKeyReusePeriodSeconds"):
        raise _invalid_encryption("kmsKeyId and kmsDataKeyReusePeriodSeconds need the type CUSTOMER_MANAGED_KMS_KEY")
    return configuration


def _invalid_encryption(reason: str) -> ApiError:
    return ApiError("InvalidEncryptionConfiguration", f"Invalid Encryption Configuration: '{reason}'")


def _creating(original: Callable[..., Any]) -> Callable[..., Any]:
    def create_state_machine(self: StepFunctionsParserBackend, *args: Any, **kwargs: Any) -> Any:
        kwargs["loggingConfiguration"] = logging_of(kwargs.get("loggingConfiguration"))
        kwargs["encryptionConfiguration"] = encryption_of(kwargs.get("encryptionConfiguration"))
        return original(self, *args, **kwargs)

    return create_state_machine


def _updating(original: Callable[..., Any]) -> Callable[..., Any]:
    def update_state_machine(self: StepFunctionsParserBackend, arn: str, *args: Any, **kwargs: Any) -> Any:
        given = dict(zip(_UPDATED, args, strict=False)) | kwargs
        if not any(given.get(member) for member in _UPDATED):
            raise ApiError(
                "MissingRequiredParameter",
                "Either the definition, the role ARN, the LoggingConfiguration, the EncryptionConfiguration or the "
                "TracingConfiguration must be specified",
            )
        if given.get("logging_configuration"):
            given["logging_configuration"] = logging_of(given["logging_configuration"])
        if given.get("encryption_configuration"):
            given["encryption_configuration"] = encryption_of(given["encryption_configuration"])
        return original(self, arn, **given)

    return update_state_machine


def list_tags_for_resource(self: StepFunctionResponse) -> ActionResult:
    """The tags of a state machine or an activity. Raises ResourceNotFound for what is neither."""
    arn = self._get_param("resourceArn")
    backend: Any = self.stepfunction_backend
    if not any(machine.arn == arn for machine in backend.state_machines) and not backend.tagger.has_tags(arn):
        kind = arn.split(":")[5] if arn.count(":") > 5 else ""
        if kind != "activity":
            raise ApiError("ResourceNotFound", f"Resource not found: '{arn}'")
    return ActionResult(backend.list_tags_for_resource(arn))


def install() -> None:
    """Check and describe as AWS does. To be installed after the operations themselves."""
    for name, (member, arn_type) in _ARNS.items():
        replace(StepFunctionResponse, name, _with_checked_arn(name, member, arn_type))
    for operation in (list_state_machines, list_state_machine_aliases, list_tags_for_resource):
        replace(StepFunctionResponse, operation.__name__, operation)
    backend = StepFunctionsParserBackend
    replace(backend, "create_state_machine", _creating(backend.create_state_machine))
    replace(backend, "update_state_machine", _updating(backend.update_state_machine))
    replace(json_path, "to_json_str", as_json)
