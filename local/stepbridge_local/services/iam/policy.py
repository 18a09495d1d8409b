"""Parses policy documents into statements.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Literal

from stepbridge_local.services.iam.conditions import Condition, holds, parse_condition
from stepbridge_local.services.iam.errors import PolicyError
from stepbridge_local.services.iam.patterns import Context, matches

__all__ = ["ANY_RESOURCE", "Policy", "Statement", "parse_policy"]

# The resource of a call that has no row in the tables here. Such a call is checked by its action only.
ANY_RESOURCE: Final = "\0any"


@dataclass(frozen=True)
class Statement:
    """One statement. ``principals`` holds pairs of type and pattern, None in an identity's own policy."""

    effect: Literal["Allow", "Deny"]
    actions: Sequence[str]
    not_actions: Sequence[str]
    resources: Sequence[str]
    not_resources: Sequence[str]
    condition: Condition
    principals: Sequence[tuple[str, str]] | None = None
    not_principals: Sequence[tuple[str, str]] | None = None

    def is_about(self, action: str, resource: str, context: Context) -> bool:
        """Whether the statement covers action and resource, and its condition holds."""
        return self._has_action(action) and self._has_resource(resource, context) and holds(self.condition, context)

    def _has_action(self, action: str) -> bool:
        wanted, patterns = action.lower(), self.actions or self.not_actions
        return any(matches(pattern.lower(), wanted, {}) for pattern in patterns) == bool(self.actions)

    def _has_resource(self, resource: str, context: Context) -> bool:
        patterns = self.resources or self.not_resources
        if resource == ANY_RESOURCE or not patterns:  # a trust policy has no Resource: it applies to its role
            return True
        return any(matches(pattern, resource, context) for pattern in patterns) == bool(self.resources)


Policy = Sequence[Statement]


@lru_cache(maxsize=1024)
def parse_policy(document: str) -> Policy:
    """The statements of a JSON document. Raises PolicyError."""
    try:
        statements = json.loads(document)["Statement"]
    except (ValueError, KeyError, TypeError) as error:
        raise PolicyError("policy", f"not a policy document: {error!r}", 'JSON with a "Statement"') from error
    listed = statements if isinstance(statements, list) else [statements]
    return tuple(_statement(one, f"Statement[{index}]") for index, one in enumerate(listed))


def _statement(given: Mapping[str, Any], where: str) -> Statement:
    if given.get("Effect") not in ("Allow", "Deny"):
        raise PolicyError(f"{where}.Effect", repr(given.get("Effect")), "Allow or Deny")
    if ("Action" in given) == ("NotAction" in given):
        raise PolicyError(where, "Action and NotAction", "one of them")
    return Statement(
        effect=given["Effect"],
        actions=_texts(given.get("Action")),
        not_actions=_texts(given.get("NotAction")),
        resources=_texts(given.get("Resource")),
        not_resources=_texts(given.get("NotResource")),
        condition=parse_condition(given.get("Condition", {}), where),
        principals=_principals(given.get("Principal")),
        not_principals=_principals(given.get("NotPrincipal")),
    )


def _texts(value: Any) -> Sequence[str]:
    if value is None:
        return ()
    return tuple(str(one) for one in value) if isinstance(value, list) else (str(value),)


def _principals(value: Any) -> Sequence[tuple[str, str]] | None:
    if value is None:
        return None
    if value == "*":
        return (("*", "*"),)
    return tuple((principal_type, one) for principal_type, ones in value.items() for one in _texts(ones))
