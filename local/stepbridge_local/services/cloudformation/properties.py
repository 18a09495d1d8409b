"""Property values of templates, in the forms that the services' APIs take."""

from __future__ import annotations

import json
from typing import Any

from stepbridge_local.services.cloudformation.resource_type import Properties, ResourceFailedError

__all__ = ["boolean", "lower_camel", "only", "policy_text"]


def boolean(value: Any) -> bool:
    """A boolean of a template, where parameters make them strings. Raises ResourceFailedError."""
    text = str(value).lower()
    if text not in ("true", "false"):
        raise ResourceFailedError(f"{value!r}: not a boolean")
    return text == "true"


def lower_camel(value: Any) -> Any:
    """The value with its property names as the services' APIs spell them: ``ScanOnPush`` is ``scanOnPush``."""
    if isinstance(value, dict):
        return {key[:1].lower() + key[1:]: lower_camel(item) for key, item in value.items()}
    if isinstance(value, list):
        return [lower_camel(item) for item in value]
    return value


def only(properties: Properties, allowed: set[str], where: str) -> Properties:
    """The properties. Raises ResourceFailedError for one that is not allowed."""
    if unknown := sorted(properties.keys() - allowed):
        raise ResourceFailedError(f"{where}: the local AWS does not have {', '.join(unknown)}")
    return properties


def policy_text(document: Any) -> str:
    """A policy document as JSON text, in whatever form the template has it."""
    return document if isinstance(document, str) else json.dumps(document, default=str)
