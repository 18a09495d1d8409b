"""Values that do not fit their field: the errors and texts of Step Functions, where moto fails with Python's.

https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from moto.stepfunctions.parser.asl.component.common.path.result_path import ResultPath
from moto.stepfunctions.parser.asl.component.common.string import string_expression
from moto.stepfunctions.parser.asl.component.common.timeouts.heartbeat import HeartbeatSecondsPath
from moto.stepfunctions.parser.asl.component.common.timeouts.timeout import TimeoutSecondsPath
from moto.stepfunctions.parser.asl.component.state.choice.comparison.comparison_operator_type import (
    ComparisonOperatorType,
)
from moto.stepfunctions.parser.asl.component.state.choice.comparison.comparison_variable import ComparisonVariable
from moto.stepfunctions.parser.asl.component.state.choice.comparison.variable import NoSuchVariable
from moto.stepfunctions.parser.asl.component.state.fail.cause_decl import CausePath
from moto.stepfunctions.parser.asl.component.state.fail.error_decl import ErrorPath
from moto.stepfunctions.parser.asl.eval.environment import Environment

from stepbridge_local.services.moto.replacement import replace
from stepbridge_local.services.stepfunctions.moto.errors import as_json, task_failure

__all__ = ["install"]

_moto_result_path: Final = ResultPath._eval_body
_RUNTIME: Final = "States.Runtime"


def _compare(self: ComparisonVariable, env: Environment) -> None:
    """Fail where the variable of a comparison is not there; IsPresent is there to ask."""
    self.variable.eval(env)
    is_missing = isinstance(env.stack[-1], NoSuchVariable)
    if is_missing and self.comparison_function.operator_type != ComparisonOperatorType.IsPresent:
        path = self.variable.string_sampler.literal_value
        text = f"Invalid path '{path}': The choice state's condition path references an invalid value."
        raise task_failure(env, _RUNTIME, text)
    self.comparison_function.eval(env)


def _apply_result_path(self: ResultPath, env: Environment) -> None:
    """States.ResultPathMatchFailure, which can be caught, where the input has no place for the result."""
    path = self.result_path_src
    if path not in (None, "$") and not isinstance(env.states.get_input(), dict):
        raise _no_place(env, path)
    try:
        _moto_result_path(self, env)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise _no_place(env, path) from error


def _no_place(env: Environment, path: str | None) -> Exception:
    text = f"Unable to apply ReferencePath {path} to input {as_json(env.states.get_input())}"
    return task_failure(env, "States.ResultPathMatchFailure", text)


def _text_of(field: str, original: Callable[..., None]) -> Callable[..., None]:
    """ErrorPath and CausePath select texts."""

    def evaluate(self: Any, env: Environment) -> None:
        original(self, env)
        if not isinstance(env.stack[-1], str):
            path = self.string_expression.literal_value
            text = f"The {field} parameter does not reference a string: {path} == {as_json(env.stack[-1])}"
            raise task_failure(env, _RUNTIME, text)

    return evaluate


def _seconds_of(field: str, original: Callable[..., int]) -> Callable[..., int]:
    """TimeoutSecondsPath and HeartbeatSecondsPath select positive integers."""

    def seconds(self: Any, env: Environment) -> int:
        self.string_sampler.eval(env=env)
        value = env.stack.pop()
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
        shown = value if isinstance(value, str) else as_json(value)
        path = self.string_sampler.literal_value
        text = f"The {field} parameter cannot be parsed as a positive long value: {path} == {shown}"
        raise task_failure(env, _RUNTIME, text)

    def evaluated(self: Any, env: Environment) -> int:
        depth = len(env.stack)
        try:
            self.string_sampler.eval(env=env)
        except Exception:  # noqa: BLE001  moto names the path that selects nothing
            del env.stack[depth:]
            return original(self, env)
        env.stack.pop()
        return seconds(self, env)

    return evaluated


_TEXTS: Final = {
    ErrorPath: _text_of("ErrorPath", ErrorPath._eval_body),
    CausePath: _text_of("CausePath", CausePath._eval_body),
}
_SECONDS: Final = {
    TimeoutSecondsPath: _seconds_of("TimeoutSecondsPath", TimeoutSecondsPath._eval_seconds),
    HeartbeatSecondsPath: _seconds_of("HeartbeatSecondsPath", HeartbeatSecondsPath._eval_seconds),
}


def install() -> None:
    """Fail with errors that can be caught, and texts without Python in them."""
    replace(ComparisonVariable, "_eval_body", _compare)
    replace(ResultPath, "_eval_body", _apply_result_path)
    for text, evaluate in _TEXTS.items():
        replace(text, "_eval_body", evaluate)
    for path, seconds in _SECONDS.items():
        replace(path, "_eval_seconds", seconds)
    replace(string_expression, "to_json_str", as_json)
