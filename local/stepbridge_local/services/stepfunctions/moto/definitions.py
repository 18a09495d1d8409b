"""Whether a definition would be accepted by Step Functions, and can be run here."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from jsonpath_ng.exceptions import JSONPathError
from moto.stepfunctions.parser.asl.parse.asl_parser import ASLParserException

from stepbridge_local.services.moto.api_errors import ApiError
from stepbridge_local.services.stepfunctions.definition_checks import Problem, field_problems
from stepbridge_local.services.stepfunctions.moto.executions import parse_definition
from stepbridge_local.services.stepfunctions.moto.intrinsics import without_python
from stepbridge_local.services.stepfunctions.moto.paths import check_path
from stepbridge_local.services.stepfunctions.moto.preprocessor import for_the_parser
from stepbridge_local.services.stepfunctions.resources import resource_problems
from stepbridge_local.services.stepfunctions.transitions import transition_problems

__all__ = ["check_definition", "problems_of"]

_SYNTAX_ERROR: Final = re.compile(r"line (?P<line>\d+):(?P<column>\d+)(?:, at (?P<token>.*?))?(?:, |\Z)", re.DOTALL)
_SHOWN: Final = 60
_VARIABLE: Final = re.compile(r"\$[A-Za-z_]")


def check_definition(definition: str, region: str, machine_type: str = "STANDARD") -> None:
    """Raise InvalidDefinition with all problems."""
    problems = problems_of(definition, region, machine_type)
    if problems:
        raise ApiError("InvalidDefinition", f"Invalid State Machine Definition: '{', '.join(map(str, problems))}'")


def problems_of(definition: str, region: str, machine_type: str = "STANDARD") -> list[Problem]:
    """Why a definition cannot be used; empty if it can."""
    try:
        document = json.loads(definition)
    except ValueError as error:
        return [Problem(str(error), code="INVALID_JSON_DESCRIPTION")]
    problems = [
        *field_problems(document),
        *transition_problems(document),
        *resource_problems(document, region, machine_type),
        *_path_problems(document, ""),
    ]
    return problems or list(_parser_problems(definition))


def _path_problems(value: Any, place: str) -> Iterator[Problem]:
    """Paths that cannot be read, wherever a name says that its value is one."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            here = f"{place}/{name}"
            is_path = isinstance(item, str) and item.startswith("$") and not _VARIABLE.match(item)
            if is_path and (name.endswith((".$", "Path")) or name == "Variable"):
                try:
                    check_path(item.removeprefix("$") if item.startswith("$$") else item)
                except JSONPathError:
                    yield Problem(
                        f"The value for the field '{name}' must be a valid JSONPath or a valid intrinsic function "
                        f"call; found {item!r}",
                        here,
                    )
            else:
                yield from _path_problems(item, here)
    elif isinstance(value, list):
        for position, item in enumerate(value):
            yield from _path_problems(item, f"{place}[{position}]")


def _parser_problems(definition: str) -> Iterator[Problem]:
    try:
        parse_definition(definition)
    except ASLParserException as error:
        for text in error.errors:
            yield Problem(_without_grammar(text, for_the_parser(definition)))
    except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        yield Problem(without_python(str(error)))


def _without_grammar(text: str, definition: str) -> str:
    """What the parser of moto stumbles over, without the names of its tokens."""
    found = _SYNTAX_ERROR.search(text)
    if found is None:
        return text
    before = definition.splitlines()[int(found["line"]) - 1][: int(found["column"])][-_SHOWN:]
    return (
        f"The local AWS cannot read {found['token'] or 'what follows'} after {before!r}; compare it with the Amazon "
        "States Language, or run it on AWS itself"
    )
