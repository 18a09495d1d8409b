"""``sagemaker:createProcessingJob`` and ``.sync`` as a task of moto's interpreter.

https://docs.aws.amazon.com/step-functions/latest/dg/connect-sagemaker.html
"""

from __future__ import annotations

import copy
import json
import logging
import uuid
from typing import Any, Final

from botocore.validate import ParamValidator
from moto.stepfunctions.parser.api import HistoryEventType, TaskSubmittedEventDetails
from moto.stepfunctions.parser.asl.component.state.exec.state_task import state_task_factory
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import state_task_service_factory
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.resource import ResourceCondition
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service import StateTaskService
from moto.stepfunctions.parser.asl.eval.environment import Environment

from stepbridge_local.fault_injection.active_faults import FaultInjection
from stepbridge_local.protocols import Scope, ServiceError
from stepbridge_local.services.iam.permissions import AssumedRole, Permissions
from stepbridge_local.services.moto.replacement import replace
from stepbridge_local.services.sagemaker.service import ProcessingService
from stepbridge_local.services.sagemaker.validation import request_shape
from stepbridge_local.services.stepfunctions.job_permissions import creation_needs, description_needs, stop_needs
from stepbridge_local.services.stepfunctions.moto.environment import EvaluationEndedError, add_event, on_end
from stepbridge_local.services.stepfunctions.moto.errors import task_failure
from stepbridge_local.services.stepfunctions.moto.role_permissions import role_of
from stepbridge_local.services.stepfunctions.moto.service_integrations import refusal

__all__ = ["ProcessingJobTask", "install"]

# What the integration accepts: https://docs.aws.amazon.com/step-functions/latest/dg/connect-sagemaker.html
SUPPORTED_PARAMETERS: Final = frozenset(
    {
        "AppSpecification",
        "Environment",
        "ExperimentConfig",
        "NetworkConfig",
        "ProcessingInputs",
        "ProcessingJobName",
        "ProcessingOutputConfig",
        "ProcessingResources",
        "RoleArn",
        "StoppingCondition",
        "Tags",
    }
)
MODELLED_ERRORS: Final = frozenset({"ResourceInUse", "ResourceLimitExceeded", "ResourceNotFound", "ConflictException"})
THROTTLED: Final = "ThrottlingException"
MANAGED_TAG: Final = {"Key": "MANAGED_BY_AWS", "Value": "STARTED_BY_STEP_FUNCTIONS"}
SUCCEEDED: Final = "Completed"
_SHAPE_PROBLEMS: Final = ("Invalid type", "Missing required", "Unknown parameter")  # in the words of botocore's report
_WAIT_SLICE_SECONDS: Final = 3_600.0  # a wait ends with the job; this only limits a single call

OPERATION: Final = "sagemaker:CreateProcessingJob"

_log = logging.getLogger(__name__)


class ProcessingJobTask(StateTaskService):
    """A Task state that creates a Processing job and, with ``.sync``, waits for its end.

    If the state ends early (StopExecution, a timeout, a failing sibling branch), the job is stopped.
    """

    def __init__(
        self, processing: ProcessingService, fault_injection: FaultInjection, permissions: Permissions
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._processing = processing
        self._fault_injection = fault_injection
        self._permissions = permissions

    def _get_supported_parameters(self) -> set[str] | None:
        self._refuse_other_resources()
        return set(SUPPORTED_PARAMETERS)

    def _refuse_other_resources(self) -> None:
        """Raises ValueError, which makes CreateStateMachine fail with InvalidDefinition."""
        if self.resource.api_action != "createProcessingJob":
            raise ValueError(
                f"{self.resource.resource_arn}: the local AWS runs sagemaker:createProcessingJob and "
                "sagemaker:createProcessingJob.sync; other SageMaker jobs it cannot run"
            )
        if self.resource.condition not in (None, ResourceCondition.Sync):
            raise ValueError(
                f"{self.resource.resource_arn}: sagemaker:createProcessingJob has no .{self.resource.condition}"
            )

    def _get_sfn_resource(self) -> str:
        condition = self.resource.condition
        return self.resource.api_action + (f".{condition}" if condition else "")

    def _eval_parameters(self, env: Environment) -> dict[str, Any]:
        parameters: dict[str, Any] = {}
        if self.parargs is not None:
            self.parargs.eval(env=env)
            parameters = env.stack.pop()
        unknown = sorted(set(parameters) - SUPPORTED_PARAMETERS)
        problems = [f"The field '{name}' is not supported by Step Functions" for name in unknown]
        problems += _shape_problems({name: value for name, value in parameters.items() if name not in unknown})
        if problems:
            shown = json.dumps(parameters)
            cause = f"The Parameters '{shown}' could not be used to start the Task: [{', '.join(problems)}]"
            raise task_failure(env, "States.Runtime", cause)
        return parameters

    def _eval_service_task(
        self,
        env: Environment,
        resource_runtime_part: Any,
        normalised_parameters: dict[str, Any],
        state_credentials: Any,
    ) -> None:
        scope = Scope(account_id=resource_runtime_part.account, region=resource_runtime_part.region)
        request = copy.deepcopy(normalised_parameters)
        sync = self.resource.condition == ResourceCondition.Sync
        if sync:
            request["Tags"] = [*request.get("Tags", []), MANAGED_TAG]
        if not env.is_running():
            raise EvaluationEndedError
        role = role_of(env, self._permissions)
        try:
            role.require(creation_needs(scope, request))
            answer = self._create(scope, request)
        except ServiceError as error:
            raise self._api_failure(env, error) from error
        submitted = {**answer, **_sdk_metadata()}
        env.stack.append(submitted)
        if sync:
            self._add_submitted_event(env, submitted)
            env.stack[-1] = self._await_job(env, scope, request["ProcessingJobName"], role)

    def _create(self, scope: Scope, request: dict[str, Any]) -> dict[str, Any]:
        """CreateProcessingJob, with injected faults like for any client. Raises ServiceError."""
        faults = self._fault_injection.on_requests
        if faults is not None:
            faults.check(OPERATION, scope)
        return self._processing.create(scope, request)

    def _await_job(self, env: Environment, scope: Scope, name: str, role: AssumedRole) -> dict[str, Any]:
        """The final description of the job. Raises States.TaskFailed if the job did not complete."""
        remove_listener = on_end(env, lambda: _stop_job(self._processing, scope, name, role))
        while not self._processing.wait(scope, name, _WAIT_SLICE_SECONDS):
            continue
        remove_listener()
        if not env.is_running():
            raise EvaluationEndedError
        try:
            role.require(description_needs(scope, name))
        except ServiceError as error:
            raise self._api_failure(env, error) from error
        description = self._processing.description_for_step_functions(scope, name)
        if description["ProcessingJobStatus"] == SUCCEEDED:
            return description
        cause = json.dumps(description, separators=(",", ":"), ensure_ascii=False)
        raise task_failure(env, "States.TaskFailed", cause, self._get_sfn_resource_type(), self._get_sfn_resource())

    def _api_failure(self, env: Environment, error: ServiceError) -> Exception:
        """An API error with the integration's name for it: its own name if it is modelled, else the general one."""
        modelled = error.code in MODELLED_ERRORS
        name = error.code.removesuffix("Exception") + "Exception" if modelled else "AmazonSageMakerException"
        throttled = error.code == THROTTLED
        error_name = self._fault_injection.throttled_in_step_functions if throttled else f"SageMaker.{name}"
        cause = (
            f"{error.message} (Service: AmazonSageMaker; Status Code: {error.http_status}; Error Code: {error.code}; "
            f"Request ID: {uuid.uuid4()}; Proxy: null)"
        )
        return task_failure(env, error_name, cause, self._get_sfn_resource_type(), self._get_sfn_resource())

    def _add_submitted_event(self, env: Environment, output: dict[str, Any]) -> None:
        details = TaskSubmittedEventDetails(
            resource=self._get_sfn_resource(),
            resourceType=self._get_sfn_resource_type(),
            output=json.dumps(output),
            outputDetails={"truncated": False},
        )
        add_event(env, HistoryEventType.TaskSubmitted, taskSubmittedEventDetails=details)


def _stop_job(processing: ProcessingService, scope: Scope, name: str, role: AssumedRole) -> None:
    try:
        role.require(stop_needs(scope, name))
    except ServiceError as error:  # as on AWS, the execution ends and the job continues
        _log.warning("processing job %s is not stopped: %s", name, error)
        return
    try:
        processing.stop(scope, name)
    except ServiceError as error:
        if error.code not in ("ValidationException", "ResourceNotFound"):  # it ended by itself in the meantime
            raise


def _sdk_metadata() -> dict[str, Any]:
    request_id = str(uuid.uuid4())
    headers = {"x-amzn-RequestId": request_id, "Content-Type": "application/x-amz-json-1.1"}
    return {
        "SdkHttpMetadata": {
            "AllHttpHeaders": {key: [value] for key, value in headers.items()},
            "HttpHeaders": headers,
            "HttpStatusCode": 200,
        },
        "SdkResponseMetadata": {"RequestId": request_id},
    }


# --- shape of the arguments -------------------------------------------------------------------------------------------
def _shape_problems(parameters: dict[str, Any]) -> list[str]:
    """Problems that Step Functions finds before it calls SageMaker: wrong JSON types, missing and unknown members."""
    report = ParamValidator().validate(parameters, request_shape("CreateProcessingJob")).generate_report()
    return [line for line in report.splitlines() if line.startswith(_SHAPE_PROBLEMS)]


_moto_service_for: Final = state_task_service_factory.state_task_service_for


def install(processing: ProcessingService, fault_injection: FaultInjection, permissions: Permissions) -> None:
    """Run Processing jobs on ``processing`` from state machines."""

    def service_for(service_name: str) -> StateTaskService:
        if service_name == "sagemaker":
            return ProcessingJobTask(processing, fault_injection, permissions)
        if (reason := refusal(service_name)) is not None:
            raise ValueError(reason)
        return _moto_service_for(service_name)

    replace(state_task_service_factory, "state_task_service_for", service_for)
    replace(state_task_factory, "state_task_service_for", service_for)
