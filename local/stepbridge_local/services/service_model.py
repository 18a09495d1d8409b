"""The service models as botocore ships them: shapes of requests, and their compiled patterns."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from botocore.model import ServiceModel, StructureShape

__all__ = ["compile_pattern", "input_shape"]

# Unicode's category Z, which Python's `re` has no name for.
_SEPARATORS = r"\u0020\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_SURROGATE_PAIR = re.compile(r"\\u(D[89AB][0-9A-F]{2})\\u(D[C-F][0-9A-F]{2})", re.IGNORECASE)


@cache
def _service_model(service: str) -> ServiceModel:
    """The model of a service. Takes about 0.15 s, so it is loaded when it is first needed."""
    import botocore.session

    return botocore.session.Session().get_service_model(service)


@cache
def input_shape(service: str, operation: str) -> StructureShape | None:
    """The input shape of an operation; None if there is no such operation, or if it takes no input.

    ``service`` is its name in botocore.
    """
    model = _service_model(service)
    return model.operation_model(operation).input_shape if operation in model.operation_names else None


@cache
def compile_pattern(pattern: str) -> re.Pattern[str]:
    r"""A pattern of the service model, in Java's syntax, for ``fullmatch``.

    Java's classes are ASCII unless a pattern asks for ``\p{…}``, and characters beyond U+FFFF stand there as surrogate
    pairs. ``\p{ASCII}`` only ever occurs outside of brackets. ``\p{L}`` only ever occurs beside ``\p{N}`` and ``_``,
    which together are Python's ``\w``.
    """
    translated = _SURROGATE_PAIR.sub(_joined_surrogates, pattern)
    translated = translated.replace(r"\p{ASCII}", r"[\x00-\x7f]")
    if r"\p{" not in translated:
        return re.compile(translated, re.ASCII)
    if r"\p{L}" in translated and not (r"\p{N}" in translated and "_" in translated):
        raise ValueError(f"pattern {pattern!r}: letters without numbers and underscore have no counterpart here")
    for name, counterpart in ((r"\p{L}", r"\w"), (r"\p{N}", ""), (r"\p{Z}", _SEPARATORS)):
        translated = translated.replace(name, counterpart)
    return re.compile(translated)


def _joined_surrogates(match: re.Match[str]) -> str:
    high, low = (int(half, 16) for half in match.groups())
    return f"\\U{0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00):08x}"
