"""IAM's patterns: ``*`` and ``?``, and policy variables such as ``${aws:username}``.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final

__all__ = ["Context", "arn_matches", "matches", "substituted"]

# Keys of a request, in lower case, and their values. Keys that the request does not have are left out.
Context = Mapping[str, Sequence[str]]

_VARIABLE: Final = re.compile(r"\$\{([^}]*)\}")
_LITERALS: Final = {"*": "*", "?": "?", "$": "$"}
_ARN_PARTS: Final = 6


def matches(pattern: str, text: str, context: Context) -> bool:
    """Whether ``text`` matches the pattern with its variables replaced. Case-sensitive."""
    expression = _expression(pattern, context)
    return expression is not None and expression.fullmatch(text) is not None


def arn_matches(pattern: str, arn: str, context: Context) -> bool:
    """Like ``matches``, but for each of the six parts of an ARN separately, as the Arn operators compare."""
    if "${" in pattern or pattern == "*":  # a variable contains colons: compare as a whole
        return matches(pattern, arn, context)
    wanted, given = pattern.split(":", _ARN_PARTS - 1), arn.split(":", _ARN_PARTS - 1)
    if len(wanted) != _ARN_PARTS or len(given) != _ARN_PARTS:
        return False
    return all(matches(part, text, context) for part, text in zip(wanted, given, strict=True))


def substituted(text: str, context: Context) -> str | None:
    """The text with its variables replaced; None when the request has no value for one of them."""
    if "${" not in text:
        return text
    missing = False

    def value(found: re.Match[str]) -> str:
        nonlocal missing
        if found[1] in _LITERALS:
            return _LITERALS[found[1]]
        name, _, default = found[1].partition(",")
        values = context.get(name.strip().lower(), ())
        if len(values) == 1:
            return values[0]
        if default:
            return default.strip().strip("'")
        missing = True
        return ""

    replaced = _VARIABLE.sub(value, text)
    return None if missing else replaced


def _expression(pattern: str, context: Context) -> re.Pattern[str] | None:
    if "${" not in pattern:
        return _compiled(pattern)
    parts: list[str] = []
    end = 0
    for found in _VARIABLE.finditer(pattern):
        value = substituted(found[0], context)
        if value is None:
            return None
        parts += [_wildcards(pattern[end : found.start()]), re.escape(value)]
        end = found.end()
    return re.compile("".join([*parts, _wildcards(pattern[end:])]), re.DOTALL)


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(_wildcards(pattern), re.DOTALL)


def _wildcards(text: str) -> str:
    return re.escape(text).replace(r"\*", ".*").replace(r"\?", ".")
