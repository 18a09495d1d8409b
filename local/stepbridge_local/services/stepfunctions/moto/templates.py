"""Payload templates of members that moto's grammar does not have, read as those of a Pass state."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from moto.stepfunctions.parser.asl.component.eval_component import EvalComponent
from moto.stepfunctions.parser.asl.eval.environment import Environment
from moto.stepfunctions.parser.asl.parse.asl_parser import AmazonStateLanguageParser

from stepbridge_local.services.stepfunctions.moto.preprocessor import for_the_parser

__all__ = ["Template", "template_of"]

_PATH: Final = re.compile("Path$")


@dataclass(frozen=True)
class Template:
    """An object with paths, intrinsic functions or JSONata in it. ``field`` names it in errors."""

    field: str
    component: EvalComponent

    def evaluate(self, env: Environment, state_input: Any) -> dict[str, Any]:
        """Its value for the input of a state."""
        frame = env.open_frame()
        frame.states.reset(state_input)
        frame.stack = [state_input]
        frame.next_field_name = self.field
        try:
            self.component.eval(frame)
            value: dict[str, Any] = frame.stack.pop()
        finally:
            env.delete_frame(frame)
        return value


def template_of(field: str, value: Mapping[str, Any], is_jsonata: bool) -> Template:
    """The template of ``value``; ``MaxItemsPath`` and the like select MaxItems. Raises what the parser raises."""
    if is_jsonata:
        state: dict[str, Any] = {"QueryLanguage": "JSONata", "Output": value}
    else:
        state = {"Parameters": {_PATH.sub(".$", key): item for key, item in value.items()}}
    definition = {"StartAt": "P", "States": {"P": {"Type": "Pass", **state, "End": True}}}
    program: Any = AmazonStateLanguageParser.parse(for_the_parser(json.dumps(definition)))[0]
    found = program.states.states["P"]
    return Template(field, found.output.jsonata_template_value if is_jsonata else found.parameters)
