"""A template with its parameters: moto's template language, but stricter about mistakes that moto accepts."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import yaml
from moto.cloudformation.exceptions import ValidationError
from moto.cloudformation.models import Stack
from moto.cloudformation.parsing import ResourceMap

from stepbridge_local.partitions import dns_suffix, partition
from stepbridge_local.services.cloudformation.resources import resource_types

__all__ = ["StackResources", "parse_template"]

Provide = Callable[[str, Mapping[str, Any], "StackResources"], Any]


def parse_template(text: str | None) -> dict[str, Any]:
    """The template, from JSON or YAML. Raises ValidationError if it is neither, or has resources of unknown types.

    JSON is read by the JSON parser, because the YAML parser takes a second for a template with a state machine.
    """
    if not text:
        raise ValidationError(message="Either Template URL or Template Body must be specified.")
    try:
        template = json.loads(text) if text.lstrip().startswith("{") else Stack.parse_template(text)
    except (json.JSONDecodeError, yaml.YAMLError) as error:
        raise ValidationError(message=f"Template format error: {error}") from None
    if not isinstance(template, dict) or not template.get("Resources"):
        raise ValidationError(message="Template format error: At least one Resources member must be defined.")
    types = [str(resource.get("Type")) for resource in template["Resources"].values()]
    if unknown := sorted(set(types) - resource_types().keys()):
        raise ValidationError(
            message=f"Template format error: Unrecognized resource types: [{', '.join(unknown)}]. "
            f"The local AWS has {', '.join(sorted(resource_types()))}"
        )
    return template


class StackResources(ResourceMap):
    """The resources of one template with one set of parameters, by logical ID; asking for one provides it.

    So dependencies are provided before what refers to them. ``provide`` makes, changes or takes over the resource;
    until it is set, and for a resource whose condition is false, there is none. Iteration is over those that are there.
    """

    provide: Provide | None = None

    def __init__(self, *arguments: Any, **options: Any) -> None:
        """Corrects the pseudo parameters, which moto has for one partition only."""
        super().__init__(*arguments, **options)
        region = self._region_name
        self._parsed_resources |= {"AWS::Partition": partition(region), "AWS::URLSuffix": dns_suffix(region)}

    def load_parameters(self) -> None:
        """Treats defaults like given values, so lists and numbers get their types, and checks constraints.

        Replaces ResourceMap.load_parameters, which leaves defaults as text and checks nothing.
        """
        slots: Mapping[str, Any] = self._template.get("Parameters") or {}
        if unknown := sorted(self.input_parameters.keys() - slots.keys()):
            raise ValidationError(message=f"Parameters: [{', '.join(unknown)}] do not exist in the template")
        given = self.input_parameters
        defaults = {name: slot["Default"] for name, slot in slots.items() if "Default" in slot}
        self.input_parameters = defaults | given
        for name, value in self.input_parameters.items():
            _check_parameter(name, value, slots[name])
        super().load_parameters()
        self.input_parameters = given

    def validate_outputs(self) -> None:
        """Replaces ResourceMap.validate_outputs, which asks moto's classes. Outputs are checked when they are made."""

    def __getitem__(self, key: str) -> Any:
        """Replaces ResourceMap.__getitem__, which makes resources of moto's own classes."""
        if key in self._parsed_resources:
            return self._parsed_resources[key]
        declared = self._resource_json_map[key]
        condition = declared.get("Condition")
        if self.provide is None or (condition and not self.lazy_condition_map[condition]):
            return None
        resource = self.provide(key, declared, self)
        self._parsed_resources[key] = resource
        return resource

    def __iter__(self) -> Iterator[str]:
        return iter([name for name in self._parsed_resources if name in self._resource_json_map])

    @property
    def declared(self) -> Mapping[str, Any]:
        """All resources of the template, even those that do not exist."""
        declared: Mapping[str, Any] = self._resource_json_map
        return declared

    def present(self) -> dict[str, Any]:
        """The resources that exist, each after those that it refers to."""
        return {name: self._parsed_resources[name] for name in self}

    def forget(self, name: str) -> None:
        self._parsed_resources.pop(name, None)


def _check_parameter(name: str, value: Any, slot: Mapping[str, Any]) -> None:
    values = str(value).split(",") if slot["Type"] == "CommaDelimitedList" else [str(value)]
    allowed = [str(item) for item in slot.get("AllowedValues", [])]
    pattern = slot.get("AllowedPattern")
    for item in values:
        if allowed and item not in allowed:
            raise ValidationError(message=f"Parameter '{name}' must be one of AllowedValues: {', '.join(allowed)}")
        if pattern and not re.fullmatch(pattern, item):
            wanted = slot.get("ConstraintDescription") or f"Member must satisfy regular expression pattern: {pattern}"
            raise ValidationError(message=f"Parameter '{name}' failed to satisfy constraint: {wanted}")
    if slot["Type"] == "Number":
        _check_number(name, str(value), slot)


def _check_number(name: str, value: str, slot: Mapping[str, Any]) -> None:
    try:
        number = float(value)
    except ValueError:
        raise ValidationError(message=f"Parameter '{name}' must be a number.") from None
    lowest, highest = float(slot.get("MinValue", number)), float(slot.get("MaxValue", number))
    if not lowest <= number <= highest:
        raise ValidationError(message=f"Parameter '{name}' must be a number between {lowest:g} and {highest:g}")
