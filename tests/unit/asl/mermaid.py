"""A state machine definition as a Mermaid flowchart, which README pages draw.

Solid arrows lead down through a run that succeeds; dotted ones show where an error leads. A branch of a Parallel or
Map state is a box of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from stepbridge.asl.states import Edge, branches, edges

__all__ = ["to_mermaid"]

LABEL_LENGTH: Final = 48

_SHAPES: Final = {
    "Task": '[["{}"]]',
    "Choice": '{{{{"{}"}}}}',  # a hexagon: a diamond around the same words is four times as high
    "Wait": '[/"{}"/]',
    "Succeed": '(["{}"])',
    "Fail": '(["{}"])',
}
_PLAIN: Final = '["{}"]'
_CLASSES: Final = {"Task": "task", "Succeed": "success", "Fail": "failure"}
_COMPACT: Final = '%%{init: {"flowchart": {"nodeSpacing": 25, "rankSpacing": 28}}}%%'
_STYLES: Final = (
    "classDef task fill:#dbeafe,stroke:#1d4ed8,color:#111827",
    "classDef success fill:#dcfce7,stroke:#15803d,color:#111827",
    "classDef failure fill:#fee2e2,stroke:#b91c1c,color:#111827",
)


def to_mermaid(definition: Mapping[str, Any]) -> str:
    """The flowchart's text, without the fences around it.

    The definition is one in which ``validate_definition`` finds no problem.
    """
    body = ["start(( ))", f"start --> {_identifier(definition['StartAt'])}", *_machine(definition), *_STYLES]
    return "\n".join([_COMPACT, "flowchart TD", *(f"    {line}" for line in body)]) + "\n"


def _machine(machine: Mapping[str, Any]) -> Iterator[str]:
    states: Mapping[str, Any] = machine["States"]
    for name, state in states.items():
        yield from _node(name, state)
    for name, state in states.items():
        for edge in edges(state):
            yield f"{_identifier(name)} {_arrow(state, edge)} {_identifier(edge.target)}"


def _node(name: str, state: Mapping[str, Any]) -> Iterator[str]:
    inner = list(branches(state))
    if not inner:
        state_type = state["Type"]
        mark = f":::{_CLASSES[state_type]}" if state_type in _CLASSES else ""
        yield _identifier(name) + _SHAPES.get(state_type, _PLAIN).format(_escaped(name)) + mark
        return
    yield f'subgraph {_identifier(name)}["{_escaped(name)}"]'
    for _, branch in inner:
        yield from (f"    {line}" for line in _machine(branch))
    yield "end"


def _arrow(state: Mapping[str, Any], edge: Edge) -> str:
    kind, _, rest = edge.key.partition("[")
    position = int(rest.partition("]")[0] or 0)
    match kind:
        case "Choices":
            return f'-- "{_escaped(_rule_label(state, position))}" -->'
        case "Default":
            return '-- "no" -->' if _is_question(state) else '-- "else" -->'
        case "Catch":
            names = state["Catch"][position]["ErrorEquals"]
            text = "any error" if names == ["States.ALL"] else ", ".join(names)
            return f'-. "{_escaped(text)}" .->'
        case _:
            return "-->"


def _is_question(state: Mapping[str, Any]) -> bool:
    return len(state["Choices"]) == 1


def _rule_label(state: Mapping[str, Any], index: int) -> str:
    """``yes`` for the one rule of a question; else the rule's comment or condition, cut to what a graph can show."""
    if _is_question(state):
        return "yes"
    rule = state["Choices"][index]
    text = rule.get("Comment") or str(rule.get("Condition", f"rule {index + 1}")).removeprefix("{%").removesuffix("%}")
    text = " ".join(text.split())
    return text if len(text) <= LABEL_LENGTH else text[: LABEL_LENGTH - 1] + "…"


def _identifier(name: str) -> str:
    """An identifier that no other state has: letters and digits stay, any other character becomes its code point."""
    return "s_" + re.sub(r"[^A-Za-z0-9]", lambda match: f"_{ord(match[0]):x}_", name)


def _escaped(text: str) -> str:
    return text.replace("&", "#amp;").replace('"', "#quot;").replace("<", "#lt;").replace(">", "#gt;")
