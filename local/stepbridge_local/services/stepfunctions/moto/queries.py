"""JSONata in states: variables, ``$states`` and the two steps of Assign, for moto's string components.

moto pastes values unescaped into the expression and passes it to a JVM that is not installed. Here values are bound to
variables (see ``jsonata``).
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, get_args

from moto.stepfunctions.parser.asl.component.common.assign.assign_decl import AssignDecl
from moto.stepfunctions.parser.asl.component.common.assign.assign_decl_binding import AssignDeclBinding
from moto.stepfunctions.parser.asl.component.common.assign.assign_template_binding import AssignTemplateBinding
from moto.stepfunctions.parser.asl.component.common.assign.assign_template_value import AssignTemplateValue
from moto.stepfunctions.parser.asl.component.common.jsonata.jsonata_template_binding import JSONataTemplateBinding
from moto.stepfunctions.parser.asl.component.common.jsonata.jsonata_template_value import JSONataTemplateValue
from moto.stepfunctions.parser.asl.component.common.query_language import QueryLanguageMode
from moto.stepfunctions.parser.asl.component.common.string.string_expression import StringJSONata, StringVariableSample
from moto.stepfunctions.parser.asl.component.common.timeouts.timeout import TimeoutSecondsJSONata
from moto.stepfunctions.parser.asl.component.state.choice.comparison.comparison import ConditionStringJSONata
from moto.stepfunctions.parser.asl.component.state.wait.wait_function.seconds import SecondsJSONata
from moto.stepfunctions.parser.asl.eval.environment import Environment
from moto.stepfunctions.parser.asl.eval.states import States
from moto.stepfunctions.parser.asl.eval.variable_store import VariableStore

from stepbridge_local.services.moto.replacement import replace
from stepbridge_local.services.stepfunctions.jsonata import UNDEFINED, QueryError, compile_expression, evaluate
from stepbridge_local.services.stepfunctions.moto.errors import query_failure

__all__ = ["commit_assignments", "discard_assignments", "install", "iso_timestamp", "variables_of"]

_PENDING: Final = "stepbridge_pending_assignments"
_COMPONENT_SUFFIX: Final = re.compile(r"^([A-Za-z]+?)((String)?JSONata|Decl|TemplateValue|Array)[A-Za-z]*$")
MAXIMUM_WAIT_SECONDS: Final = 99_999_999


def iso_timestamp(moment: datetime | None = None) -> str:
    """UTC with milliseconds and ``Z``, the format of times in the context object; now by default."""
    return (moment or datetime.now(UTC)).astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def variables_of(store: VariableStore) -> dict[str, Any]:
    """The workflow variables that are visible in a scope, inner ones before outer ones."""
    return {**store._outer_scope, **store._inner_scope}


# --- expressions ------------------------------------------------------------------------------------------------------
def _new_expression(self: StringJSONata, expression: str) -> None:
    """Refuse a definition with a malformed expression when the state machine is created, as AWS does."""
    try:
        compile_expression(expression)
    except QueryError as error:
        raise ValueError(f"The JSONata expression '{expression}' is not valid: {error}") from error
    vars(self).update(literal_value=expression, expression=expression)


def _evaluate_expression(self: StringJSONata, env: Environment) -> None:
    bindings = {**variables_of(env.variable_store), "states": _states_of(env)}
    field = _field(env)
    described = f"The JSONata expression '{self.expression}'" + (f" specified for the field '{field}'" if field else "")
    try:
        result = evaluate(self.expression, bindings)
    except QueryError as error:
        raise query_failure(env, f"{described} threw an error during evaluation. {error}", field) from error
    if result is UNDEFINED:
        raise query_failure(env, f"{described} returned nothing (undefined).", field)
    env.stack.append(result)


def _field(env: Environment) -> str:
    """The path of the field that is evaluated, as in ``Output/result``."""
    return _COMPONENT_SUFFIX.sub(r"\1", env.next_field_name or "")


def _states_of(env: Environment) -> dict[str, Any]:
    """``$states``; ``result`` and ``errorOutput`` are undefined, not null, before there is one."""
    return dict(env.states._states_data)


def _reset_states(self: States, input_value: Any) -> None:
    """Set the input of the next state, and drop the result of the previous one."""
    data: dict[str, Any] = self._states_data  # type: ignore[assignment]  # a TypedDict whose keys come and go
    data["input"] = copy.deepcopy(input_value)
    data.pop("result", None)
    data.pop("errorOutput", None)


def _evaluate_variable(self: StringVariableSample, env: Environment) -> None:
    """``$variable.path`` in a JSONPath state."""
    bindings = variables_of(env.variable_store)
    if self.query_language_mode == QueryLanguageMode.JSONata:
        bindings["states"] = _states_of(env)
    try:
        result = evaluate(self.expression, bindings)
    except QueryError as error:
        raise query_failure(env, f"The variable reference '{self.expression}' failed. {error}") from error
    if result is UNDEFINED:
        raise query_failure(env, f"The variable reference '{self.expression}' selects nothing.")
    env.stack.append(result)


# --- fields whose value must have a type ------------------------------------------------------------------------------
def _condition(self: ConditionStringJSONata, env: Environment) -> None:
    self.string_jsonata.eval(env=env)
    if not isinstance(env.stack[-1], bool):
        raise query_failure(env, _wrong_type(self.string_jsonata, env.stack[-1], "a boolean"), "Condition")


def _timeout_seconds(self: TimeoutSecondsJSONata, env: Environment) -> int:
    return _whole_number(self.string_jsonata, env, "TimeoutSeconds", 1)


def _wait_seconds(self: SecondsJSONata, env: Environment) -> int:
    return _whole_number(self.string_jsonata, env, "Seconds", 0)


def _whole_number(expression: StringJSONata, env: Environment, field: str, minimum: int) -> int:
    expression.eval(env=env)
    value = env.stack.pop()
    if isinstance(value, int) and not isinstance(value, bool) and minimum <= value <= MAXIMUM_WAIT_SECONDS:
        return value
    wanted = f"an integer from {minimum} to {MAXIMUM_WAIT_SECONDS}"
    raise query_failure(env, _wrong_type(expression, value, wanted, field), field)


def _wrong_type(expression: StringJSONata, value: Any, wanted: str, field: str = "Condition") -> str:
    shown = json.dumps(value)
    return (
        f"The JSONata expression '{expression.expression}' specified for the field '{field}' returned an unexpected "
        f"result: {shown}. Expected {wanted}."
    )


# --- Assign -----------------------------------------------------------------------------------------------------------
def _assign(self: AssignDecl, env: Environment) -> None:
    """Compute the new values. They take effect at the end of the state, so Output still sees the old ones."""
    assignments: dict[str, Any] = {}
    for binding in self.declaration_bindings:
        binding.eval(env=env)
        assignments.update(env.stack.pop())
    vars(env)[_PENDING] = assignments


def commit_assignments(env: Environment) -> None:
    """Set the variables to the values that the ending state has assigned."""
    for name, value in vars(env).pop(_PENDING, {}).items():
        env.variable_store.set(variable_identifier=name, variable_value=value)


def discard_assignments(env: Environment) -> None:
    """Drop the assignments of a failed attempt."""
    vars(env).pop(_PENDING, None)


def _assigned_variables(self: VariableStore) -> dict[str, str]:
    return {name: json.dumps(self.get(name), separators=(",", ":")) for name in self._declaration_tracing}


# --- naming the field that fails --------------------------------------------------------------------------------------
_Binding = AssignTemplateBinding | JSONataTemplateBinding


def _naming_the_member(
    original: Callable[[_Binding, Environment], None],
) -> Callable[[_Binding, Environment], None]:
    """Evaluate a member of an object in the field ``Output/outer/inner``."""

    def evaluate_member(self: _Binding, env: Environment) -> None:
        outer = env.next_field_name or ""
        env.next_field_name = f"{_field(env)}/{self.identifier}"
        original(self, env)
        env.next_field_name = outer

    return evaluate_member


_MEMBERS: Final = {binding: _naming_the_member(binding._eval_body) for binding in get_args(_Binding)}


def _same_field(_self: object) -> None:
    """A value has no name of its own: the field is the one that it is the value of."""


def install() -> None:
    """Evaluate JSONata with jsonata-python, and Assign in AWS's order."""
    replace(StringJSONata, "__init__", _new_expression)
    replace(StringJSONata, "_eval_body", _evaluate_expression)
    replace(StringVariableSample, "_eval_body", _evaluate_variable)
    replace(States, "reset", _reset_states)
    replace(ConditionStringJSONata, "_eval_body", _condition)
    replace(TimeoutSecondsJSONata, "_eval_seconds", _timeout_seconds)
    replace(SecondsJSONata, "_get_wait_seconds", _wait_seconds)
    replace(AssignDecl, "_eval_body", _assign)
    for binding, evaluate_member in _MEMBERS.items():
        replace(binding, "_eval_body", evaluate_member)
    for value in (AssignDeclBinding, *_MEMBERS, AssignTemplateValue, JSONataTemplateValue):
        replace(value, "_field_name", _same_field)
    replace(VariableStore, "get_assigned_variables", _assigned_variables)
