"""Evaluates JSONPath like Step Functions: a path to a single place returns its value, any other path a list.

moto decides by the number of matches, so ``$.items[0].name`` returns a list, and a filter with one match sometimes does
not. https://docs.aws.amazon.com/step-functions/latest/dg/amazon-states-language-paths.html
"""

from __future__ import annotations

import importlib
import re
from functools import lru_cache
from typing import Any, Final

from jsonpath_ng import Child, Fields, Index, JSONPath, Root
from jsonpath_ng.ext.parser import parse
from moto.stepfunctions.parser.asl.utils.json_path import NoSuchJsonPathError

from stepbridge_local.services.moto.replacement import replace

__all__ = ["check_path", "evaluate_path", "install"]

LENGTH: Final = ".length()"
_PLAIN: Final = re.compile(r"[A-Za-z0-9_]*|\*")
# A step of a path: a name behind a dot, or brackets with what is in them, quoted brackets included.
_STEP: Final = re.compile(
    r"""(?P<dots>\.{1,2})(?P<name>[^.\[\]()'"\s]+)|\[(?:'(?:\\.|[^'])*'|"(?:\\.|[^"])*"|[^\]'"])*\]"""
)
_BACKSLASH: Final = {quote: re.compile(rf"\\[\\{quote}]|(\\)") for quote in "'\""}
_PACKAGE: Final = "moto.stepfunctions.parser.asl"
_COMPARISONS: Final = f"{_PACKAGE}.component.state.choice.comparison.operator.implementations"
_USERS: Final = (
    f"{_PACKAGE}.component.common.string.string_expression",
    f"{_PACKAGE}.component.intrinsic.argument.argument",
    f"{_COMPARISONS}.boolean_equals",
    f"{_COMPARISONS}.numeric",
    f"{_COMPARISONS}.string_operators",
    f"{_COMPARISONS}.timestamp_operators",
    f"{_PACKAGE}.eval.states",
)


def evaluate_path(path: str, data: Any) -> Any:
    """Replaces extract_json: returns the value of ``path`` in ``data``. Raises NoSuchJsonPathError.

    A path with a wildcard, a slice, a filter or ``..`` returns a list of its matches, which can be empty. Several names
    in a bracket at its end return an object with these. ``.length()`` at its end returns the length of a list.
    """
    if path.endswith(LENGTH):
        return _length(path, data)
    expression = _parsed(path)
    found = expression.find(data)
    names = _several_names(expression)
    if names is not None and found:
        return {str(match.path): match.value for match in found}
    if names is None and not _is_definite(expression):
        return [match.value for match in found]
    if not found:
        raise NoSuchJsonPathError(json_path=path, data=data)
    return found[0].value


def check_path(path: str) -> None:
    """Raise JSONPathError for a path that cannot be read."""
    _parsed(path.removesuffix(LENGTH))


def _length(path: str, data: Any) -> int:
    value = evaluate_path(path.removesuffix(LENGTH), data)
    if not isinstance(value, list | dict | str):
        raise NoSuchJsonPathError(json_path=path, data=data)
    return len(value)


@lru_cache(maxsize=1024)
def _parsed(path: str) -> JSONPath:
    return parse(_STEP.sub(_quoted, path))


def _quoted(step: re.Match[str]) -> str:
    """Names that the parser does not take behind a dot, such as ``my-key``, in quotes and brackets.

    A backslash in quotes is one, except before the same quote or another backslash.
    """
    name = step["name"]
    if name is None:
        backslash = _BACKSLASH.get(step[0][1])
        return step[0] if backslash is None else backslash.sub(lambda found: found[0] + (found[1] or ""), step[0])
    if _PLAIN.fullmatch(name):
        return step[0]
    return f"{'..' if step['dots'] == '..' else ''}['{name}']"


def _several_names(expression: JSONPath) -> tuple[str, ...] | None:
    """The names of a last step like ``['a', 'b']`` behind definite steps."""
    if isinstance(expression, Child) and isinstance(expression.right, Fields) and len(expression.right.fields) > 1:
        return tuple(expression.right.fields) if _is_definite(expression.left) else None
    return None


def _is_definite(expression: JSONPath) -> bool:
    if isinstance(expression, Child):
        return _is_definite(expression.left) and _is_definite(expression.right)
    if isinstance(expression, Fields):
        return len(expression.fields) == 1 and expression.fields[0] != "*"
    if isinstance(expression, Index):
        return len(expression.indices) == 1
    return isinstance(expression, Root)


def install() -> None:
    """Evaluate paths as Step Functions does, wherever moto's interpreter does."""
    for name in _USERS:
        replace(importlib.import_module(name), "extract_json", evaluate_path)
