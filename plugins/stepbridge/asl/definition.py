"""A state machine definition as text becomes a checked value."""

import json
from collections.abc import Mapping
from functools import partial
from typing import Any

from stepbridge.asl.validation import validate_definition
from stepbridge.errors import DefinitionError, Problem

Definition = Mapping[str, Any]
"""A definition as JSON has it."""


def load_definition(text: str, source: str) -> Definition:
    """The definition in the JSON ``text``. Raises DefinitionError with all problems; ``source`` is the file's path."""
    try:
        definition: Definition = json.loads(text, object_pairs_hook=partial(_object, source))
    except json.JSONDecodeError as error:
        line = text.split("\n")[error.lineno - 1]
        excerpt = f"{line}\n{' ' * (error.colno - 1)}^" if line else ""
        where = f"{source}:{error.lineno}:{error.colno}"
        raise DefinitionError(source, [Problem(where, error.msg, "a JSON document", "", excerpt)]) from None
    problems = validate_definition(definition, source)
    if problems:
        raise DefinitionError(source, problems)
    return definition


def _object(source: str, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = sorted({name for name in names if names.count(name) > 1})
        what = f"the key {twice[0]!r} comes twice beside {', '.join(sorted(found)[:5])}"
        raise DefinitionError(source, [Problem(source, what, "each key once in an object")])
    return found
