"""TestState: one state, run without a state machine, with its retriers and catchers named and not followed.

https://docs.aws.amazon.com/step-functions/latest/dg/test-state-isolation.html
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any, Final, cast

from moto.core.responses import ActionResult
from moto.stepfunctions.parser.api import StateMachineType
from moto.stepfunctions.parser.asl.component.program.program import Program
from moto.stepfunctions.parser.asl.eval.environment import Environment
from moto.stepfunctions.parser.asl.eval.evaluation_details import AWSExecutionDetails
from moto.stepfunctions.parser.asl.eval.event.event_manager import EventHistoryContext
from moto.stepfunctions.parser.asl.eval.program_state import ProgramEnded, ProgramError
from moto.stepfunctions.parser.asl.parse.asl_parser import AmazonStateLanguageParser
from moto.stepfunctions.responses import StepFunctionResponse

from stepbridge_local.fault_injection.execution_time import Pace
from stepbridge_local.services.moto.api_errors import ApiError
from stepbridge_local.services.stepfunctions.moto.activities import Activities
from stepbridge_local.services.stepfunctions.moto.definitions import check_definition
from stepbridge_local.services.stepfunctions.moto.distributed_map import attach_settings
from stepbridge_local.services.stepfunctions.moto.environment import LocalEventManager
from stepbridge_local.services.stepfunctions.moto.errors import error_matches, task_failure
from stepbridge_local.services.stepfunctions.moto.preprocessor import for_the_parser
from stepbridge_local.services.stepfunctions.moto.queries import iso_timestamp

__all__ = ["install"]

STATE: Final = "TestState"
DEFAULT_ATTEMPTS: Final = 3
_CAUGHT: Final = "caught by catcher "
# The parts of a state whose results are inspected: their names in moto's states, and in the answer.
_INSPECTED: Final = {
    "input_path": "afterInputPath",
    "parameters": "afterParameters",
    "parargs": "afterParameters",
    "result": "result",
    "result_selector": "afterResultSelector",
    "result_path": "afterResultPath",
}


def _state_of(response: StepFunctionResponse) -> dict[str, Any]:
    """The state to test: the definition itself, or the one that ``stateName`` names in a state machine."""
    try:
        definition = json.loads(response._get_param("definition"))
    except ValueError as error:
        raise ApiError(
            "InvalidDefinition", f"Invalid State Machine Definition: 'INVALID_JSON_DESCRIPTION: {error}'"
        ) from error
    name = response._get_param("stateName")
    if name is None:
        return definition if isinstance(definition, dict) else {}
    found = _named(definition, name)
    if found is None:
        raise ApiError("ValidationException", f"State not found: '{name}' is not a state of the definition")
    return {"QueryLanguage": definition.get("QueryLanguage", "JSONPath"), **found}


def _named(value: Any, name: str) -> Any:
    if isinstance(value, list):
        return next((found for item in value if (found := _named(item, name)) is not None), None)
    if not isinstance(value, Mapping):
        return None
    states = value.get("States")
    if isinstance(states, Mapping) and name in states:
        return states[name]
    return _named(list(value.values()), name)


def _machine_around(state: Mapping[str, Any], mocked_resource: str | None) -> dict[str, Any]:
    """A machine that ends behind the state, wherever that leads, and in which a catcher has a target of its own.

    A Task whose result is mocked may be of any service, also of one that the local AWS does not have.
    """
    tested = {key: value for key, value in state.items() if key != "Retry"}
    if mocked_resource and "Resource" in tested:
        tested["Resource"] = mocked_resource
    targets: list[str] = [tested[member] for member in ("Next", "Default") if isinstance(tested.get(member), str)]
    choices = tested.get("Choices")
    rules = [rule for rule in choices if isinstance(rule, Mapping)] if isinstance(choices, list) else []
    targets += [rule["Next"] for rule in rules if isinstance(rule.get("Next"), str)]
    catchers = tested.get("Catch")
    if isinstance(catchers, list):
        tested["Catch"] = [{**catcher, "Next": f"{_CAUGHT}{place}"} for place, catcher in enumerate(catchers)]
        targets += [f"{_CAUGHT}{place}" for place in range(len(catchers))]
    if not {"Next", "End"} & tested.keys() and tested.get("Type") not in ("Choice", "Succeed", "Fail"):
        tested["End"] = True
    ends = {target: {"Type": "Succeed"} for target in targets if target != STATE}
    return {"StartAt": STATE, "States": {STATE: tested, **ends}}


class _Test:
    def __init__(self, response: StepFunctionResponse, activities: Activities, pace: Pace) -> None:
        self._response = response
        self._state = _state_of(response)
        own = response.stepfunction_backend.partition
        mocked = f"arn:{own}:states:::aws-sdk:sqs:listQueues" if response._get_param("mock") else None
        self._machine = _machine_around(self._state, mocked)
        text = json.dumps(self._machine)
        check_definition(text, response.region)
        program = AmazonStateLanguageParser.parse(for_the_parser(text))[0]
        assert isinstance(program, Program)
        attach_settings(program, self._machine)
        self._program = program
        self._inspected: dict[str, str] = {}
        self._activities = activities
        self._input = self._document("input", {})
        self._events = LocalEventManager(pace)

    def answer(self) -> dict[str, Any]:
        component: Any = self._program.states.states[STATE]
        self._inspect(component)
        self._mock(component)
        env = self._environment()
        self._program.eval(env)
        answer = self._outcome(env)
        if self._response._get_param("inspectionLevel") in ("DEBUG", "TRACE"):
            answer["inspectionData"] = {"input": _json(self._input), **self._inspected}
        return answer

    def _document(self, member: str, default: Any) -> Any:
        text = self._response._get_param(member)
        try:
            return default if text is None else json.loads(text)
        except ValueError as error:
            raise ApiError("InvalidExecutionInput", f"Invalid State Machine Execution Input: '{error}'") from error

    def _outcome(self, env: Environment) -> dict[str, Any]:
        history: list[Any] = self._events.get_event_history()
        entered = [
            event["stateEnteredEventDetails"]["name"] for event in history if "stateEnteredEventDetails" in event
        ]
        state = env.program_state()
        if isinstance(state, ProgramError):
            details = state.error or {}
            told = {name: details[name] for name in ("error", "cause") if details.get(name) is not None}
            return {"status": "RETRIABLE" if self._is_retried(details.get("error")) else "FAILED", **told}
        if not isinstance(state, ProgramEnded):
            return {"status": "FAILED", "error": "States.Timeout"}
        answer: dict[str, Any] = {"status": "SUCCEEDED", "output": _json(env.states.get_input())}
        following = entered[1] if len(entered) > 1 else None
        if following is None:
            return answer
        if not following.startswith(_CAUGHT):
            return {**answer, "nextState": following}
        catcher = self._state["Catch"][int(following.removeprefix(_CAUGHT))]
        failure = next(
            ({name: details.get(name) for name in ("error", "cause")} for details in _failures(history)),
            {"error": None, "cause": None},
        )
        told = {name: value for name, value in failure.items() if value is not None}
        if self._is_retried(failure["error"]):
            return {"status": "RETRIABLE", **told}
        return {**answer, "status": "CAUGHT_ERROR", "nextState": catcher["Next"], **told}

    def _is_retried(self, error: str | None) -> bool:
        configuration = self._response._get_param("stateConfiguration") or {}
        count = configuration.get("retrierRetryCount", 0)
        for retrier in self._state.get("Retry", ()):
            if error_matches(error, retrier["ErrorEquals"]):
                return bool(count < retrier.get("MaxAttempts", DEFAULT_ATTEMPTS))
        return False

    def _mock(self, component: Any) -> None:
        """Let the task, Map or Parallel state end with the result or error that the request has for it."""
        mock = self._response._get_param("mock")
        if not mock:
            return
        failure = mock.get("errorOutput")
        result = None if failure else json.loads(mock.get("result") or "null")

        def run(env: Environment) -> None:
            if getattr(component, "parargs", None):
                component.parargs.eval(env)
                env.stack.pop()
            if failure:
                raise task_failure(env, failure.get("error"), failure.get("cause"))
            self._inspected["result"] = _json(result)
            env.stack.append(result)

        component._eval_execution = run

    def _inspect(self, component: Any) -> None:
        is_jsonata = self._state.get("QueryLanguage") == "JSONata"
        for part, member in ({"parargs": "afterArguments"} if is_jsonata else _INSPECTED).items():
            found = getattr(component, part, None)
            if found is not None and hasattr(found, "_eval_body"):
                found._eval_body = self._noting(found._eval_body, member)
        if hasattr(component, "_eval_execution"):
            component._eval_execution = self._noting(component._eval_execution, "result")

    def _noting(self, original: Any, member: str) -> Any:
        def evaluate(env: Environment) -> None:
            original(env)
            self._inspected[member] = _json(env.stack[-1] if env.stack else env.states.get_input())

        return evaluate

    def _environment(self) -> Environment:
        response = self._response
        role_arn = response._get_param("roleArn") or f"arn:aws:iam::{response.current_account}:role/none"
        name = str(uuid.uuid4())
        own = response.stepfunction_backend.partition
        head = f"arn:{own}:states:{response.region}:{response.current_account}"
        context: dict[str, Any] = {
            "Execution": {
                "Id": f"{head}:express:{STATE}:{name}:{name}",
                "Input": self._input,
                "Name": name,
                "RoleArn": role_arn,
                "StartTime": iso_timestamp(),
                "RedriveCount": 0,
            },
            "StateMachine": {"Id": f"{head}:stateMachine:{STATE}", "Name": STATE},
        }
        env = Environment(
            aws_execution_details=AWSExecutionDetails(
                account=response.current_account, region=response.region, role_arn=role_arn
            ),
            execution_type=StateMachineType.STANDARD,
            context=cast("Any", {**context, **self._document("context", {})}),
            event_history_context=EventHistoryContext(previous_event_id=0),
            cloud_watch_logging_session=None,
            activity_store=self._activities.of(response.current_account, response.region),  # type: ignore[arg-type]
        )
        env.event_manager = self._events
        env.states.reset(self._input)
        for variable, value in self._document("variables", {}).items():
            env.variable_store.set(variable_identifier=variable, variable_value=value)
        return env


def _failures(history: list[Any]) -> list[dict[str, Any]]:
    found = [details for event in history for details in event.values() if isinstance(details, dict)]
    return [details for details in found if "error" in details]


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def install(activities: Activities, pace: Pace) -> None:
    """Add the operation, which moto does not have."""

    def test_state(self: StepFunctionResponse) -> ActionResult:
        return ActionResult(_Test(self, activities, pace).answer())

    StepFunctionResponse.test_state = test_state  # type: ignore[attr-defined]
