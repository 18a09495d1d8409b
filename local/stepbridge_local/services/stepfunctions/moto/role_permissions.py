"""The permissions of state machines: their role is checked when they are created and when they call SageMaker.

AWS checks at CreateStateMachine and UpdateStateMachine that the role trusts Step Functions, may create the rule by
which ``.sync`` notices the end of jobs, and may deliver the log.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import wraps
from typing import Any, Final

from moto.stepfunctions.models import StateMachine
from moto.stepfunctions.parser.asl.eval.environment import Environment
from moto.stepfunctions.parser.models import StepFunctionsParserBackend

from stepbridge_local.partitions import partition
from stepbridge_local.protocols import Scope, ServiceError
from stepbridge_local.services.iam.decision import Need
from stepbridge_local.services.iam.permissions import AssumedRole, Permissions, RoleNotAssumableError
from stepbridge_local.services.moto.api_errors import ApiError
from stepbridge_local.services.moto.replacement import replace
from stepbridge_local.services.stepfunctions.moto.errors import task_failure

__all__ = ["install", "role_of"]

SERVICE: Final = "states.amazonaws.com"
MANAGED_RULE: Final = "StepFunctionsGetEventsForSageMakerProcessingJobsRule"
_SYNC_JOB: Final = "states:::sagemaker:createProcessingJob.sync"
_RULE_ACTIONS: Final = ("events:PutTargets", "events:PutRule", "events:DescribeRule")
# https://docs.aws.amazon.com/step-functions/latest/dg/cw-logs.html#cloudwatch-iam-policy
_LOG_ACTIONS: Final = (
    "logs:CreateLogDelivery",
    "logs:GetLogDelivery",
    "logs:UpdateLogDelivery",
    "logs:DeleteLogDelivery",
    "logs:ListLogDeliveries",
    "logs:PutResourcePolicy",
    "logs:DescribeResourcePolicies",
    "logs:DescribeLogGroups",
)
_NOT_TRUSTED: Final = (
    "Neither the global service principal states.amazonaws.com, nor the regional one is authorized to assume the "
    "provided role."
)


# --- a task -----------------------------------------------------------------------------------------------------------
def role_of(env: Environment, permissions: Permissions) -> AssumedRole:
    """Step Functions in the state machine's role. Raises States.Permissions if it cannot assume the role."""
    details = env.aws_execution_details
    context: Any = env.states.context_object.context_object_data
    session = hashlib.sha256(context["Execution"]["Id"].encode()).hexdigest()[:32]
    scope = Scope(details.account, details.region)
    try:
        return permissions.assume_role(SERVICE, details.role_arn, session, context["StateMachine"]["Id"], scope)
    except RoleNotAssumableError:
        raise task_failure(env, "States.Permissions", _NOT_TRUSTED) from None


# --- creating and updating a state machine ----------------------------------------------------------------------------
def _creating(original: Any, permissions: Permissions) -> Any:
    @wraps(original)
    def create_state_machine(self: StepFunctionsParserBackend, *args: Any, **kwargs: Any) -> StateMachine:
        given = dict(zip(("name", "definition", "roleArn"), args, strict=False)) | kwargs
        arn = f"arn:{partition(self.region_name)}:states:{self.region_name}:{self.account_id}:stateMachine:"
        logging = given.get("loggingConfiguration")
        _check_role(permissions, self, given["roleArn"], arn + str(given["name"]), given["definition"], logging)
        created: StateMachine = original(self, *args, **kwargs)
        return created

    return create_state_machine


def _updating(original: Any, permissions: Permissions) -> Any:
    @wraps(original)
    def update_state_machine(self: StepFunctionsParserBackend, *args: Any, **kwargs: Any) -> StateMachine:
        given = dict(zip(("arn", "definition", "role_arn", "logging_configuration"), args, strict=False)) | kwargs
        machine = self.describe_state_machine(given["arn"])
        role_arn = given.get("role_arn") or machine.roleArn
        definition = given.get("definition") or machine.definition
        logging = given.get("logging_configuration") or machine.loggingConfiguration
        _check_role(permissions, self, role_arn, machine.arn, definition, logging)
        updated: StateMachine = original(self, *args, **kwargs)
        return updated

    return update_state_machine


def _check_role(
    permissions: Permissions,
    backend: StepFunctionsParserBackend,
    role_arn: str,
    machine_arn: str,
    definition: str,
    logging: Any,
) -> None:
    """Raise AccessDeniedException if the role lacks permissions that every such state machine needs."""
    scope = Scope(backend.account_id, backend.region_name)
    try:
        role = permissions.assume_role(SERVICE, role_arn, "StateMachineCreation", machine_arn, scope)
    except RoleNotAssumableError:
        raise ApiError("AccessDeniedException", _NOT_TRUSTED) from None
    own = f"arn:{partition(scope.region)}"
    rule = f"{own}:events:{scope.region}:{scope.account_id}:rule/{MANAGED_RULE}"
    if _has_task(definition, f"{own}:{_SYNC_JOB}"):
        needs = [Need(action, rule) for action in _RULE_ACTIONS]
        _require(role, needs, f"'{role_arn}' is not authorized to create managed-rule.")
    if (logging or {}).get("level", "OFF") != "OFF":
        needs = [Need(action, "*") for action in _LOG_ACTIONS]
        _require(role, needs, "The state machine IAM Role is not authorized to access the Log Destination")


def _require(role: AssumedRole, needs: Sequence[Need], message: str) -> None:
    try:
        role.require(needs)
    except ServiceError:
        raise ApiError("AccessDeniedException", message) from None


def _has_task(definition: str, resource: str) -> bool:
    try:
        return _mentions(json.loads(definition), resource)
    except ValueError:  # refused by moto
        return False


def _mentions(value: Any, resource: str) -> bool:
    if isinstance(value, dict):
        return value.get("Resource") == resource or any(_mentions(part, resource) for part in value.values())
    return isinstance(value, list) and any(_mentions(part, resource) for part in value)


def install(permissions: Permissions) -> None:
    """Check the roles of state machines that are created and updated."""
    backend = StepFunctionsParserBackend
    replace(backend, "create_state_machine", _creating(backend.create_state_machine, permissions))
    replace(backend, "update_state_machine", _updating(backend.update_state_machine, permissions))
