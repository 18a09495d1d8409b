"""Walks a JSONata state machine with the local AWS's own expression evaluator; jobs end as the test says.

Only what ``asl/batch_inference.asl.json`` uses. How states behave through boto3 is tested in tests/contract.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from stepbridge_local.services.stepfunctions.jsonata import UNDEFINED, evaluate

EXECUTION_ARN = "arn:aws:states:us-east-1:123456789012:execution:batch-inference:flight_delay-2013-06-01-0123456789ab"


class StateError(Exception):
    """What a Task or an execution failed with."""

    def __init__(self, error: str, cause: str) -> None:
        super().__init__(error, cause)
        self.error = error
        self.cause = cause


@dataclass
class Walk:
    """One execution. ``run_job`` gets CreateProcessingJob's arguments and returns the result or raises StateError."""

    definition: Mapping[str, Any]
    run_job: Callable[[dict[str, Any]], dict[str, Any]]
    execution_arn: str = EXECUTION_ARN
    redrive_count: int = 0
    variables: dict[str, Any] = field(default_factory=dict)
    visited: list[str] = field(default_factory=list)
    waits: list[int] = field(default_factory=list)
    failed_at: tuple[str, Any] | None = None

    def start(self, given: Any) -> Any:
        return self._run(self.definition, self.definition["StartAt"], given)

    def redrive(self) -> Any:
        """Begin again at the state that did not exit, as RedriveExecution does."""
        assert self.failed_at is not None
        self.redrive_count += 1
        name, given = self.failed_at
        return self._run(self.definition, name, given)

    def context(self, state: str, retry_count: int) -> dict[str, Any]:
        execution: dict[str, Any] = {"Id": self.execution_arn, "Name": self.execution_arn.rpartition(":")[2]}
        if self.redrive_count:  # Step Functions leaves it out until the first redrive
            execution["RedriveCount"] = self.redrive_count
        return {"Execution": execution, "State": {"Name": state, "RetryCount": retry_count}}

    def fill(self, template: Any, states: Mapping[str, Any]) -> Any:
        """The template with each ``{% %}`` replaced by its value; an expression that selects nothing is an error."""
        if isinstance(template, dict):
            return {key: self.fill(value, states) for key, value in template.items()}
        if isinstance(template, list):
            return [self.fill(value, states) for value in template]
        if not (isinstance(template, str) and template.startswith("{%")):
            return template
        value = evaluate(template[2:-2].strip(), {**self.variables, "states": states})
        assert value is not UNDEFINED, f"undefined, which Step Functions refuses: {template}"
        return value

    def _run(self, machine: Mapping[str, Any], name: str, given: Any) -> Any:
        while True:
            self.visited.append(name)
            state = machine["States"][name]
            try:
                given, name_next = self._step(name, state, given)
            except StateError:
                if machine is self.definition:
                    self.failed_at = (name, given)
                raise
            if name_next is None:
                return given
            name = name_next

    def _step(self, name: str, state: Mapping[str, Any], given: Any) -> tuple[Any, str | None]:
        states = {"input": given, "context": self.context(name, 0)}
        match state["Type"]:
            case "Choice":
                for rule in state["Choices"]:
                    if self.fill(rule["Condition"], states) is True:
                        return given, rule["Next"]
                return given, state["Default"]
            case "Fail":
                raise StateError(self.fill(state["Error"], states), self.fill(state["Cause"], states))
            case "Wait":
                self.waits.append(self.fill(state["Seconds"], states))
                return given, state["Next"]
            case "Task" | "Parallel" as state_type:
                attempt = self._task if state_type == "Task" else self._parallel
                return self._attempts(name, state, given, attempt)
            case _:
                return self._leave(state, states, given)

    def _leave(self, state: Mapping[str, Any], states: Mapping[str, Any], result: Any) -> tuple[Any, str | None]:
        output = self.fill(state["Output"], states) if "Output" in state else result
        self.variables |= self.fill(state.get("Assign", {}), states)
        return output, state.get("Next")

    def _attempts(
        self, name: str, state: Mapping[str, Any], given: Any, attempt: Callable[[Any, Any, Any], Any]
    ) -> tuple[Any, str | None]:
        retry_count = 0
        while True:
            states: dict[str, Any] = {"input": given, "context": self.context(name, retry_count)}
            try:
                states["result"] = attempt(state, states, given)
            except StateError as failure:
                if _retries(state, failure.error, retry_count):
                    retry_count += 1
                    continue
                catcher = next(iter(state.get("Catch", [])), None)
                if catcher is None:
                    raise
                output = {"Error": failure.error, "Cause": failure.cause}
                self.variables |= self.fill(catcher["Assign"], {**states, "errorOutput": output})
                return output, catcher["Next"]
            return self._leave(state, states, states["result"])

    def _task(self, state: Any, states: Any, _given: Any) -> Any:
        assert self.fill(state["TimeoutSeconds"], states) > 0
        return self.run_job(self.fill(state["Arguments"], states))

    def _parallel(self, state: Any, _states: Any, given: Any) -> Any:
        outer = dict(self.variables)
        results = [self._run(branch, branch["StartAt"], given) for branch in state["Branches"]]
        self.variables = outer  # what a branch assigns stays in it
        return results


def _retries(state: Mapping[str, Any], error: str, retry_count: int) -> bool:
    for rule in state.get("Retry", []):
        if error in rule["ErrorEquals"] or rule["ErrorEquals"] == ["States.ALL"]:
            return bool(retry_count < rule["MaxAttempts"])
    return False
