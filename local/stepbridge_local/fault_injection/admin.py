"""The admin API, ``/_stepbridge/faults``, on values: method, path and body in, status and JSON out.

* ``GET /_stepbridge/faults``: what is set, with counts.
* ``POST /_stepbridge/faults``: set one fault (a JSON object) or several (a list); if one is invalid, none is set.
* ``PUT /_stepbridge/faults``: the same as POST, but removes all other faults.
* ``DELETE /_stepbridge/faults`` and ``DELETE /_stepbridge/faults/<name>``: remove all, or one.

The response to a change is the new list. The response to an invalid body is 400 with all its errors.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final
from urllib.parse import unquote

from pydantic import ValidationError

from stepbridge_local.errors import Problem
from stepbridge_local.fault_injection import FAULTS_PATH
from stepbridge_local.fault_injection.active_faults import FaultInjection
from stepbridge_local.fault_injection.errors import FaultSettingsError
from stepbridge_local.fault_injection.faults import (
    ConnectionFault,
    ErrorFault,
    Fault,
    LatencyFault,
    ThrottlingFault,
    fault_adapter,
)
from stepbridge_local.fault_injection.operation_names import operation_problems

__all__ = ["ADDRESSES", "answer", "parse_faults"]


_Answer = tuple[str, object]


def answer(fault_injection: FaultInjection, method: str, path: str, content_type: str, body: bytes) -> _Answer:
    """The HTTP status line and the JSON of an answer."""
    name = unquote(path.removeprefix(FAULTS_PATH).lstrip("/"))
    change = _ANSWERS.get((method, "<name>" if name else ""))
    if change is None:
        return "405 Method Not Allowed", {"message": f"{method} {path}: expected GET, POST, PUT or DELETE"}
    return change(fault_injection, name, content_type, body)


def _list(fault_injection: FaultInjection, _name: str = "", _content_type: str = "", _body: bytes = b"") -> _Answer:
    return "200 OK", {"faults": fault_injection.listing()}


def _set(
    fault_injection: FaultInjection, _name: str, content_type: str, body: bytes, *, replacing: bool = False
) -> _Answer:
    # A web page can send a form to this machine's ports, but not JSON.
    if content_type.partition(";")[0].strip().lower() != "application/json":
        return "415 Unsupported Media Type", {"message": "expected a body of Content-Type application/json"}
    try:
        faults = parse_faults(body)
    except FaultSettingsError as error:
        return "400 Bad Request", {"message": str(error)}
    fault_injection.set(faults, replacing=replacing)
    return _list(fault_injection)


def _clear(fault_injection: FaultInjection, name: str, _content_type: str, _body: bytes) -> _Answer:
    if not fault_injection.clear(name or None):
        present = ", ".join(fault["name"] for fault in fault_injection.listing()) or "nothing"
        return "404 Not Found", {"message": f"no fault is named {name!r}; set are: {present}"}
    return _list(fault_injection)


# By method, and by what follows the path.
_ANSWERS: Final[Mapping[tuple[str, str], Callable[[FaultInjection, str, str, bytes], _Answer]]] = {
    ("GET", ""): _list,
    ("POST", ""): _set,
    ("PUT", ""): partial(_set, replacing=True),
    ("DELETE", ""): _clear,
    ("DELETE", "<name>"): _clear,
}
ADDRESSES: Final = tuple((method, f"{FAULTS_PATH}/{rest}".rstrip("/")) for method, rest in _ANSWERS)


def parse_faults(body: bytes | str) -> Sequence[Fault]:
    """The faults of a JSON document. Raises FaultSettingsError with all that is wrong with it."""
    try:
        document = json.loads(body)
    except ValueError as error:
        raise FaultSettingsError(
            "faults", [Problem("body", f"not JSON: {error}", "a fault, or a list of faults")]
        ) from error
    several = isinstance(document, list)
    items = document if several else [document]
    faults: list[Fault] = []
    problems: list[Problem] = []
    for index, item in enumerate(items):
        where = f"[{index}]" if several else "fault"
        try:
            fault = fault_adapter.validate_python(item)
        except ValidationError as error:
            problems += [_problem(where, found) for found in error.errors(include_url=False)]
        else:
            problems += _operation_problems(where, fault)
            faults.append(fault)
    if problems:
        raise FaultSettingsError("faults", problems)
    return faults


def _operation_problems(where: str, fault: Fault) -> list[Problem]:
    if isinstance(fault, ErrorFault | ConnectionFault | LatencyFault):
        return operation_problems(f"{where}.operations", fault.operations)
    if isinstance(fault, ThrottlingFault):
        return operation_problems(f"{where}.rates", fault.rates)
    return []


def _problem(where: str, found: Any) -> Problem:
    """What pydantic found. The first part of its place is the type of the fault."""
    place = ".".join([where, *(str(part) for part in found["loc"][1:])])
    if found["type"].startswith("union_tag"):
        expected = str(found.get("ctx", {}).get("expected_tags", "")) or "the type of a fault"
        given = found["input"].get("fault") if isinstance(found["input"], dict) else found["input"]
        return Problem(f"{where}.fault", repr(given), expected)
    if found["type"] == "missing":
        return Problem(place, "missing", "a value")
    if found["type"] == "extra_forbidden":
        return Problem(place, "no such field")
    message = found["msg"].removeprefix("Value error, ")
    return Problem(place, repr(found["input"]), message.removeprefix("Input should be "))
