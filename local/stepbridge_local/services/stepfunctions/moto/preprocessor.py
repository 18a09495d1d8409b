"""Prepares definitions so that moto's parser reads them correctly.

Its lexer treats the key ``RoleArn.$`` as that of Credentials everywhere. Its visitor does not decode JSON's escapes in
keys, paths and intrinsic functions.
"""

from __future__ import annotations

import json
from typing import Any, Final

from moto.stepfunctions.parser.asl.component.common.payload.payloadvalue.payloadbinding.payload_binding import (
    PayloadBindingValue,
)
from moto.stepfunctions.parser.asl.component.common.string.string_expression import StringIntrinsicFunction
from moto.stepfunctions.parser.asl.parse.intrinsic.intrinsic_parser import IntrinsicParser
from moto.stepfunctions.parser.asl.parse.preprocessor import Preprocessor

from stepbridge_local.services.stepfunctions.map_settings import is_distributed, without_settings

__all__ = ["LocalPreprocessor", "for_the_parser"]

_KEYWORD: Final = "RoleArn.$"
_MARK: Final = "\ue000"  # a private use character, put before keys that are not keywords
_ESCAPED: Final = '"\\u0052oleArn.$"'  # the same key as JSON, but another token for the lexer


def for_the_parser(definition: str) -> str:
    """The definition, rewritten for the parser. Raises ValueError if it is not JSON.

    moto's parser also reads JSON strings as Python ones, and stumbles over ``\\/`` and over characters beyond U+FFFF
    written as two escapes.
    """
    text = json.dumps(_marked(_adapted(json.loads(definition), "JSONPath")), ensure_ascii=False)
    return text.replace(f'"{_MARK}{_KEYWORD}"', _ESCAPED)


def _adapted(machine: Any, language: str) -> Any:
    """The machine with only what moto's grammar takes in Maps, and with the query language of every state.

    In moto the states in a Map or Parallel state inherit its language. On AWS they have the state machine's.
    """
    states = machine.get("States") if isinstance(machine, dict) else None
    if not isinstance(states, dict):
        return machine
    language = machine.get("QueryLanguage", language)
    return {**machine, "States": {name: _adapted_state(state, language) for name, state in states.items()}}


def _adapted_state(state: Any, language: str) -> Any:
    if not isinstance(state, dict):
        return state
    adapted = without_settings(state) if is_distributed(state) else dict(state)
    for member in {"ItemProcessor", "Iterator"} & adapted.keys():
        adapted[member] = _adapted(adapted[member], language)
    if isinstance(adapted.get("Branches"), list):
        adapted["Branches"] = [_adapted(branch, language) for branch in adapted["Branches"]]
    return {"QueryLanguage": language, **adapted}


def _marked(value: Any, is_credentials: bool = False) -> Any:
    if isinstance(value, list):
        return [_marked(item) for item in value]
    if not isinstance(value, dict):
        return value
    is_task = value.get("Type") == "Task"
    return {
        _MARK + key if key == _KEYWORD and not is_credentials else key: _marked(
            item, is_credentials=is_task and key == "Credentials"
        )
        for key, item in value.items()
    }


class LocalPreprocessor(Preprocessor):
    """Reads strings as JSON, and has its own scopes.

    In moto all parses share their scopes, so one invalid definition breaks all later ones.
    """

    def __init__(self) -> None:
        self._query_language_per_scope = []

    def _open_query_language_scope(self, parse_tree: Any) -> None:
        """Each state has its own language (see ``_adapted``), also one inside a state with another language."""
        outer, self._query_language_per_scope = self._query_language_per_scope, []
        super()._open_query_language_scope(parse_tree)
        self._query_language_per_scope = outer + self._query_language_per_scope

    @staticmethod
    def _inner_string_of(parser_rule_context: Any) -> str | None:
        """Replaces Preprocessor._inner_string_of, which only removes the quotes."""
        inner = Preprocessor._inner_string_of(parser_rule_context)
        return inner if inner is None else _unescaped(inner, str(parser_rule_context.getText()))

    def visitPayload_binding_value(self, ctx: Any) -> PayloadBindingValue:
        """Raises ValueError for a key that ends with ``.$`` and holds neither path nor call; moto takes it as text."""
        binding = super().visitPayload_binding_value(ctx)
        if binding.field.endswith(".$"):
            raise ValueError(
                f"The value for the field '{binding.field}' must be a valid JSONPath or a valid intrinsic function call"
            )
        return binding

    def visitString_intrinsic_function(self, ctx: Any) -> StringIntrinsicFunction:
        """Replaces Preprocessor.visitString_intrinsic_function."""
        literal = str(ctx.STRINGINTRINSICFUNC().getText())
        call = _unescaped(literal[1:-1], literal)
        try:
            function, _ = IntrinsicParser.parse(call)
        except ValueError as error:
            raise ValueError(f"{call}: {error}") from error
        return StringIntrinsicFunction(intrinsic_function_derivation=call, function=function)


def _unescaped(inner: str, literal: str) -> str:
    if not literal.startswith('"'):
        return inner
    text: str = json.loads(literal)
    return text
