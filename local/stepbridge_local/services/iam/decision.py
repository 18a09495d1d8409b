"""Decides whether a request is allowed, or denied and why, in AWS's words.

https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from stepbridge_local.services.iam.patterns import Context
from stepbridge_local.services.iam.policy import ANY_RESOURCE, Policy, Statement

__all__ = ["Access", "Caller", "Need", "decide", "decide_assume_role", "denial", "trusts_service"]

_ACCOUNT: Final = re.compile(r"(?:arn:[^:]+:iam::)?(\d{12})(?::root)?")


@dataclass(frozen=True)
class Caller:
    """Who makes a request.

    ``policies`` are those of the caller and its groups. ``limits`` (permissions boundary, session policy) are by name;
    a statement in each of them must allow the request too. ``is_root`` may do everything. ``role_arn`` is set for an
    assumed role.
    """

    arn: str
    account_id: str
    policies: Sequence[Policy] = ()
    limits: Mapping[str, Policy] = field(default_factory=dict)
    role_arn: str = ""
    user_name: str = ""
    user_id: str = ""
    is_root: bool = False

    @property
    def context(self) -> dict[str, Sequence[str]]:
        """The global condition keys about the caller."""
        principal_type = "Account" if self.is_root else "AssumedRole" if self.role_arn else "User"
        found: dict[str, Sequence[str]] = {
            "aws:principalarn": (self.role_arn or self.arn,),
            "aws:principalaccount": (self.account_id,),
            "aws:principaltype": (principal_type,),
            "aws:userid": (self.user_id or self.account_id,),
        }
        if self.user_name:
            found["aws:username"] = (self.user_name,)
        return found


@dataclass(frozen=True)
class Need:
    """One permission that a request needs. ``context`` holds its condition keys in lower case."""

    action: str
    resource: str = ANY_RESOURCE
    context: Context = field(default_factory=dict)


@dataclass(frozen=True)
class Access:
    """Whether a request is allowed. If not, ``reason`` is the end of AWS's message."""

    allowed: bool
    reason: str = ""


def decide(caller: Caller, need: Need, resource_policy: Policy | None = None, same_account: bool = True) -> Access:
    """Whether the caller has the permission.

    Any Deny denies. Within one account, the caller's policies or the resource's policy (if it names the caller, not
    only its account) must allow the request, and so must every limit. Across accounts, both must allow it.
    """
    context = {**need.context, **caller.context}
    of_resource = [one for one in resource_policy or () if _names(one, caller)]
    groups = [
        ("an identity-based policy", [one for policy in caller.policies for one in policy]),
        ("a resource-based policy", of_resource),
        *((f"a {name}", list(policy)) for name, policy in caller.limits.items()),
    ]
    for name, statements in groups:
        if _any(statements, "Deny", need, context):
            return Access(False, f"with an explicit deny in {name}")
    if caller.is_root and same_account:
        return Access(True)
    by_identity = caller.is_root or _any(groups[0][1], "Allow", need, context)
    granting = [one for one in of_resource if not same_account or _names(one, caller, directly=True)]
    by_resource = _any(granting, "Allow", need, context)
    if not by_identity and not (by_resource and same_account):
        return Access(False, f"because no identity-based policy allows the {need.action} action")
    if not by_resource and not same_account:
        return Access(False, f"because no resource-based policy allows the {need.action} action")
    for name, policy in caller.limits.items():
        if not _any(policy, "Allow", need, context):
            return Access(False, f"because no {name} allows the {need.action} action")
    return Access(True)


def decide_assume_role(caller: Caller, need: Need, trust: Policy) -> Access:
    """Whether the caller may assume the role that ``need`` is about, whose trust policy this is.

    The trust policy must always allow it. Within the account that is enough if it names the caller. If it names the
    account, the caller's own policies must allow it too. AWS gives no reason for a denial.
    """
    context = {**need.context, **caller.context}
    about = [one for one in trust if _names(one, caller)]
    own = [one for policy in caller.policies for one in policy]
    if (
        _any(about, "Deny", need, context)
        or _any(own, "Deny", need, context)
        or not _any(about, "Allow", need, context)
    ):
        return Access(False)
    same_account = need.resource.split(":")[4:5] == [caller.account_id]
    named = _any([one for one in about if _names(one, caller, directly=True)], "Allow", need, context)
    by_identity = caller.is_root or _any(own, "Allow", need, context)
    within_limits = all(_any(policy, "Allow", need, context) for policy in caller.limits.values())
    return Access((by_identity or (named and same_account)) and within_limits)


def denial(caller: Caller, need: Need, reason: str) -> str:
    """AWS's message for a request that was denied."""
    resource = "" if need.resource == ANY_RESOURCE else f" on resource: {_shown(need)}"
    return f"User: {caller.arn} is not authorized to perform: {need.action}{resource} {reason}".rstrip()


def trusts_service(trust: Policy, service: str, source: Context) -> bool:
    """Whether a role's trust policy lets the service (``states.amazonaws.com``) assume it for ``source``.

    ``source`` holds aws:SourceArn and aws:SourceAccount.
    """
    assume = Need("sts:AssumeRole", context=source)
    about = [one for one in trust if ("Service", service) in (one.principals or ()) or _is_anybody(one)]
    allowed = _any(about, "Allow", assume, source)
    return allowed and not _any(about, "Deny", assume, source)


def _any(statements: Iterable[Statement], effect: str, need: Need, context: Context) -> bool:
    return any(one.effect == effect and one.is_about(need.action, need.resource, context) for one in statements)


def _shown(need: Need) -> str:
    return f'"{need.resource}"' if need.action.startswith("s3:") else need.resource


def _is_anybody(statement: Statement) -> bool:
    return any(pattern == "*" for type_, pattern in statement.principals or () if type_ in ("*", "AWS"))


def _names(statement: Statement, caller: Caller, directly: bool = False) -> bool:
    """Whether the statement names the caller as principal; ``directly``: not only through its account."""
    if statement.not_principals is not None:
        return not any(
            _is_caller(principal_type, pattern, caller, directly)
            for principal_type, pattern in statement.not_principals
        )
    return any(_is_caller(type_, pattern, caller, directly) for type_, pattern in statement.principals or ())


def _is_caller(principal_type: str, pattern: str, caller: Caller, directly: bool) -> bool:
    if principal_type not in ("*", "AWS"):
        return False
    if pattern in ("*", caller.arn, caller.role_arn):
        return True
    account = _ACCOUNT.fullmatch(pattern)
    return not directly and account is not None and account[1] == caller.account_id
