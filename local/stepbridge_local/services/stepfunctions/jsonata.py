"""Evaluates JSONata expressions as Step Functions does, with jsonata-python.

Values are bound to variables natively and never pasted into the text of an expression, so no input can break or change
one. JSON ``null`` and "undefined" are kept apart. Step Functions speaks JSONata 2.0.6 with six functions of its own and
without ``$eval``: https://docs.aws.amazon.com/step-functions/latest/dg/transforming-data.html
"""

from __future__ import annotations

import hashlib
import json
import math
import random
import re
import uuid
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final

from jsonata import Jsonata
from jsonata.jexception import JException
from jsonata.tokenizer import Tokenizer
from jsonata.utils import Utils

__all__ = ["UNDEFINED", "QueryError", "compile_expression", "evaluate"]

MAXIMUM_EVALUATION_MILLISECONDS: Final = 10_000
MAXIMUM_DEPTH: Final = 1_000
MAXIMUM_RANGE_ITEMS: Final = 1_000  # as States.ArrayRange
LARGEST_EXACT_INTEGER: Final = 2**53
NEWER_OPERATORS: Final = frozenset({"??", "?:"})  # JSONata 2.1; Step Functions evaluates 2.0.6

# The exceptions of jsonata-python if an expression does not fit its values.
_EVALUATION_ERRORS: Final = (
    JException,
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
    re.error,
)


class _Undefined:
    def __repr__(self) -> str:
        return "UNDEFINED"


UNDEFINED: Final = _Undefined()
"""The result of an expression that selects nothing. Not the same as JSON ``null``, which is None."""


class QueryError(Exception):
    """An expression cannot be compiled or evaluated. The text is that of the evaluator."""


def evaluate(expression: str, bindings: Mapping[str, Any]) -> Any:
    """The JSON value of ``expression``, or UNDEFINED.

    ``bindings`` are variables without their ``$``; their values are JSON values and are left unchanged. A number
    without a fraction comes out as int. Raises QueryError, also for a result that is not JSON (a function).
    """
    compiled = compile_expression(expression)
    frame = compiled.create_frame()
    frame.set_runtime_bounds(MAXIMUM_EVALUATION_MILLISECONDS, MAXIMUM_DEPTH)
    for name, function in _STEP_FUNCTIONS.items():
        frame.bind(name, Jsonata.JLambda(function))
    for name, value in bindings.items():
        frame.bind(name, _to_jsonata(value))
    try:
        result = compiled.evaluate(None, frame)
    except _EVALUATION_ERRORS as error:
        raise QueryError(_text_of(error)) from error
    return UNDEFINED if result is None else _from_jsonata(result)


@lru_cache(maxsize=4096)
def compile_expression(expression: str) -> Jsonata:
    """The compiled expression. Raises QueryError for a syntax error and for operators that Step Functions lacks."""
    try:
        compiled = Jsonata(expression)
        _refuse_newer_operators(expression)
    except _EVALUATION_ERRORS as error:
        raise QueryError(_text_of(error)) from error
    compiled.set_output_convert_nulls(False)
    return compiled


def _refuse_newer_operators(expression: str) -> None:
    tokens = Tokenizer(expression)
    infix = False  # a slash after a value divides; after an operator it starts a regular expression
    while (token := tokens.next(infix)) is not None:
        if token.type == "operator" and token.value in NEWER_OPERATORS:
            raise QueryError(
                f"operator {token.value!r} is not part of JSONata 2.0.6, which Step Functions evaluates; "
                "write $exists(x) ? x : default"
            )
        infix = token.type != "operator" or token.value in {")", "]", "}"}


def _text_of(error: Exception) -> str:
    if isinstance(error, JException):
        return f"{error.get_error()}: {error}"
    if isinstance(error, ZeroDivisionError):
        return "D1001: Number out of range: Infinity"
    return str(error) or type(error).__name__


def _to_jsonata(value: Any) -> Any:
    """A copy of a JSON value for the evaluator, which has NULL_VALUE for null and may change its arguments."""
    if value is None:
        return Utils.NULL_VALUE
    if isinstance(value, Mapping):
        return {key: _to_jsonata(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_to_jsonata(item) for item in value]
    return _number(value) if isinstance(value, float) else value


def _from_jsonata(value: Any) -> Any:
    if value is Utils.NULL_VALUE or value is None:
        return None
    if isinstance(value, dict):
        return {key: _from_jsonata(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_from_jsonata(item) for item in value]
    if isinstance(value, float):
        if not math.isfinite(value):
            raise QueryError(f"D1001: Number out of range: {value}")
        return _number(value)
    if isinstance(value, str | int):
        return value
    raise QueryError("returned an unsupported result type")


def _number(value: float) -> float | int:
    """JSON has only one kind of number, so 30.0 is 30. Beyond 2**53 an integer would pretend more precision."""
    return int(value) if value.is_integer() and abs(value) <= LARGEST_EXACT_INTEGER else value


# --- the functions of Step Functions ----------------------------------------------------------------------------------
def _partition(array: Any = None, size: Any = None) -> Any:
    if array is None:
        return None
    items = array if isinstance(array, list) else [array]
    length = _integer("$partition", "the chunk size", size)
    if length < 1:
        raise QueryError(f"$partition: the chunk size must be at least 1; found {length}")
    return [items[start : start + length] for start in range(0, len(items), length)]


def _range(first: Any = None, last: Any = None, step: Any = None) -> list[int]:
    start = _integer("$range", "the first value", first)
    stop = _integer("$range", "the last value", last)
    delta = _integer("$range", "the step", step)
    if delta == 0:
        raise QueryError("$range: the step must not be 0")
    items = range(start, stop + (1 if delta > 0 else -1), delta)
    if len(items) > MAXIMUM_RANGE_ITEMS:
        raise QueryError(f"$range: {len(items)} items; at most {MAXIMUM_RANGE_ITEMS} are possible")
    return list(items)


_HASHES: Final[Mapping[str, Callable[[bytes], Any]]] = {
    "MD5": lambda data: hashlib.md5(data, usedforsecurity=False),
    "SHA-1": lambda data: hashlib.sha1(data, usedforsecurity=False),
    "SHA-256": hashlib.sha256,
    "SHA-384": hashlib.sha384,
    "SHA-512": hashlib.sha512,
}


def _hash(data: Any = None, algorithm: Any = None) -> str | None:
    if data is None:
        return None
    if algorithm not in _HASHES:
        raise QueryError(f"$hash: algorithm {algorithm!r} is unknown; expected one of {', '.join(_HASHES)}")
    text = data if isinstance(data, str) else json.dumps(_from_jsonata(data), separators=(",", ":"), ensure_ascii=False)
    digest: str = _HASHES[algorithm](text.encode()).hexdigest()
    return digest


def _random(seed: Any = None) -> float:
    """A number in [0, 1), the same for the same seed. (It differs from AWS's, whose generator is not public.)"""
    return random.random() if seed is None else random.Random(str(seed)).random()


def _uuid() -> str:
    return str(uuid.uuid4())


def _parse(text: Any = None) -> Any:
    if text is None:
        return None
    try:
        return _to_jsonata(json.loads(text))
    except (TypeError, ValueError) as error:
        raise QueryError(f"$parse: not a JSON document: {error}") from error


def _eval(*_arguments: Any) -> Any:
    raise QueryError("function $eval is not supported by Step Functions; $parse reads a JSON document")


def _integer(function: str, what: str, value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise QueryError(f"{function}: {what} must be an integer; found {_shown(value)}")


def _shown(value: Any) -> str:
    return "nothing (undefined)" if value is None else repr(value)


_STEP_FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    "partition": _partition,
    "range": _range,
    "hash": _hash,
    "random": _random,
    "uuid": _uuid,
    "parse": _parse,
    "eval": _eval,
}
