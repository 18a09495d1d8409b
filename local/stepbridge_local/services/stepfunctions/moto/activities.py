"""Activities, and the answers of workers: SendTaskSuccess, SendTaskFailure and SendTaskHeartbeat.

https://docs.aws.amazon.com/step-functions/latest/dg/concepts-activities.html
"""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from moto.core.responses import ActionResult, EmptyResult
from moto.stepfunctions.parser.asl.component.state.exec.state_task.state_task_activitiy import StateTaskActivity
from moto.stepfunctions.parser.asl.eval.callback.callback import (
    ActivityCallbackEndpoint,
    ActivityTaskStartEndpoint,
    CallbackOutcomeFailure,
    CallbackOutcomeSuccess,
)
from moto.stepfunctions.parser.asl.eval.environment import Environment
from moto.stepfunctions.responses import StepFunctionResponse

from stepbridge_local.services.moto.api_errors import ApiError
from stepbridge_local.services.moto.replacement import replace
from stepbridge_local.services.stepfunctions.moto.environment import on_end
from stepbridge_local.services.stepfunctions.moto.errors import task_failure
from stepbridge_local.services.stepfunctions.moto.pages import page_of
from stepbridge_local.services.stepfunctions.moto.start_execution import check_arn, executions_of, validate_name

__all__ = ["Activities", "install"]

POLL_SECONDS: Final = 20.0  # AWS answers after 60; clients ask again in either case


@dataclass
class Activity:
    """An activity and the tasks that no worker has taken. moto's states call ``add_task``."""

    arn: str
    name: str
    encryption: dict[str, Any]
    created: datetime = field(default_factory=lambda: datetime.now(UTC))
    _tasks: deque[Any] = field(default_factory=deque)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def add_task(self, task: Any) -> None:
        with self._changed:
            self._tasks.append(task)
            self._changed.notify()

    def take_task(self, is_awaited: Callable[[str], bool]) -> Any:
        """The oldest task whose execution still waits for it; None after POLL_SECONDS without one."""
        deadline = time.monotonic() + POLL_SECONDS
        with self._changed:
            while True:
                while self._tasks:
                    task = self._tasks.popleft()
                    if is_awaited(task.task_token):
                        return task
                left = deadline - time.monotonic()
                if left <= 0:
                    return None
                self._changed.wait(left)


class Activities:
    """The activities of all accounts and regions."""

    def __init__(self) -> None:
        self._stores: dict[tuple[str, str], dict[str, Activity]] = {}

    def of(self, account_id: str, region: str) -> dict[str, Activity]:
        """By their ARNs. Executions look them up in the same mapping."""
        return self._stores.setdefault((account_id, region), {})


# --- operations -------------------------------------------------------------------------------------------------------
class _Operations:
    def __init__(self, activities: Activities) -> None:
        self._activities = activities

    def create_activity(self, response: StepFunctionResponse) -> ActionResult:
        """A new activity, or the existing one of that name."""
        name = response._get_param("name")
        validate_name(name)
        backend = response.stepfunction_backend
        arn = _arn(backend, name)
        encryption = response._get_param("encryptionConfiguration") or {"type": "AWS_OWNED_KEY"}
        activity = self._store(response).setdefault(arn, Activity(arn, name, encryption))
        if activity.encryption != encryption:
            raise ApiError("ActivityAlreadyExists", f"Activity Already Exists: '{arn}'")
        tags = response._get_param("tags")
        if tags:
            backend.tagger.tag_resource(arn, tags)
        return ActionResult({"activityArn": arn, "creationDate": activity.created})

    def describe_activity(self, response: StepFunctionResponse) -> ActionResult:
        activity = self._activity(response)
        answer = {"activityArn": activity.arn, "name": activity.name, "creationDate": activity.created}
        return ActionResult({**answer, "encryptionConfiguration": activity.encryption})

    def delete_activity(self, response: StepFunctionResponse) -> EmptyResult:
        arn = response._get_param("activityArn")
        check_arn(arn, "activity")
        self._store(response).pop(arn, None)
        return EmptyResult()

    def list_activities(self, response: StepFunctionResponse) -> ActionResult:
        found = sorted(self._store(response).values(), key=lambda activity: activity.created)
        page, token = page_of(response, found)
        listed = [{"activityArn": one.arn, "name": one.name, "creationDate": one.created} for one in page]
        return ActionResult({"activities": listed, **token})

    def get_activity_task(self, response: StepFunctionResponse) -> ActionResult:
        """A task for a worker; without a token if there is none for a while."""
        activity = self._activity(response)
        task = activity.take_task(lambda token: isinstance(_waiting(response, token), ActivityCallbackEndpoint))
        endpoint = None if task is None else _waiting(response, task.task_token)
        if not isinstance(endpoint, ActivityCallbackEndpoint):
            return ActionResult({})
        endpoint.notify_activity_task_start(worker_name=response._get_param("workerName"))
        return ActionResult({"taskToken": task.task_token, "input": task.task_input})

    def _activity(self, response: StepFunctionResponse) -> Activity:
        arn = response._get_param("activityArn")
        check_arn(arn, "activity")
        activity = self._store(response).get(arn)
        if activity is None:
            raise ApiError("ActivityDoesNotExist", f"Activity Does Not Exist: '{arn}'")
        return activity

    def _store(self, response: StepFunctionResponse) -> dict[str, Activity]:
        return self._activities.of(response.current_account, response.region)


def _arn(backend: Any, name: str) -> str:
    return f"arn:{backend.partition}:states:{backend.region_name}:{backend.account_id}:activity:{name}"


def _waiting(response: StepFunctionResponse, token: str) -> Any:
    """What waits for the token in a running execution. None if nothing does any more. Raises InvalidToken."""
    known = False
    for machine in response.stepfunction_backend.state_machines:
        for execution in executions_of(machine):
            endpoint = execution.callback(token)
            if endpoint is None:
                continue
            known = True
            if execution.status == "RUNNING" and endpoint.get_outcome() is None and not endpoint.consumer_error:
                return endpoint
    if known:
        return None
    raise ApiError("InvalidToken", "Invalid Token: 'Invalid token'")


def _awaited(response: StepFunctionResponse) -> Any:
    endpoint = _waiting(response, response._get_param("taskToken"))
    if endpoint is None:
        raise ApiError("TaskTimedOut", "Task Timed Out: 'Provided task does not exist anymore'")
    return endpoint


def send_task_success(self: StepFunctionResponse) -> EmptyResult:
    output = self._get_param("output")
    endpoint = _awaited(self)
    try:
        json.loads(output)
    except ValueError as error:
        raise ApiError("InvalidOutput", f"Invalid Output: '{error}'") from error
    endpoint.notify(outcome=CallbackOutcomeSuccess(callback_id=endpoint.callback_id, output=output))
    return EmptyResult()


def send_task_failure(self: StepFunctionResponse) -> EmptyResult:
    """With ``error`` and ``cause``, which moto drops."""
    endpoint = _awaited(self)
    told = {name: self._get_param(name) for name in ("error", "cause")}
    endpoint.notify(outcome=CallbackOutcomeFailure(callback_id=endpoint.callback_id, **told))
    return EmptyResult()


def send_task_heartbeat(self: StepFunctionResponse) -> EmptyResult:
    """Also for a task without HeartbeatSeconds, for which moto says InvalidToken."""
    _awaited(self).notify_heartbeat()
    return EmptyResult()


# --- the state --------------------------------------------------------------------------------------------------------
_moto_run: Final = StateTaskActivity._eval_execution


def _run_activity(self: StateTaskActivity, env: Environment) -> None:
    """Wait for a worker, and wake up when the execution or the attempt ends."""
    arn = self.resource.resource_arn
    if arn not in env.activity_store:
        raise task_failure(env, "States.Runtime", f"The activity {arn} does not exist.")

    def interrupt() -> None:
        task: Any = env.states.context_object.context_object_data.get("Task") or {}
        endpoint: Any = env.callback_pool_manager.get(task.get("Token", ""))
        if isinstance(endpoint, ActivityCallbackEndpoint):
            endpoint.interrupt_all()
            endpoint.get_activity_task_start_endpoint()._next_activity_task_start_event.set()

    remove_listener = on_end(env, interrupt)
    try:
        _moto_run(self, env)
    finally:
        remove_listener()


def install(activities: Activities) -> None:
    """Add the operations that moto lacks, and replace those that know nothing of executions."""
    operations = _Operations(activities)
    for name in ("create_activity", "describe_activity", "delete_activity", "list_activities"):
        replace(StepFunctionResponse, name, _method(getattr(operations, name)))
    StepFunctionResponse.get_activity_task = _method(operations.get_activity_task)  # type: ignore[attr-defined]
    for operation in (send_task_success, send_task_failure, send_task_heartbeat):
        replace(StepFunctionResponse, operation.__name__, operation)
    replace(StateTaskActivity, "_eval_execution", _run_activity)
    ActivityTaskStartEndpoint._outcome = None  # moto's is undefined until a worker has taken the task


def _method(operation: Callable[[StepFunctionResponse], Any]) -> Callable[[StepFunctionResponse], Any]:
    def method(self: StepFunctionResponse) -> Any:
        return operation(self)

    return method
