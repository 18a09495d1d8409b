"""Checks permissions: of callers of the API, and of services that act as a role.

Nothing is denied unless permissions are enforced.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final, Protocol

from stepbridge_local.protocols import Scope, ServiceError
from stepbridge_local.services.iam.decision import (
    Access,
    Caller,
    Need,
    decide,
    decide_assume_role,
    denial,
    trusts_service,
)
from stepbridge_local.services.iam.policy import Policy

__all__ = [
    "UNENFORCED",
    "AssumedRole",
    "Directory",
    "Permissions",
    "RoleNotAssumableError",
    "RoleRecord",
    "role_session",
]

_JSON_SERVICES: Final = frozenset({"states", "sagemaker", "codebuild", "ecr", "logs", "events", "sqs"})
_ASSUME_ROLE: Final = "sts:AssumeRole"


class RoleNotAssumableError(Exception):
    """A service cannot act as a role: the role does not exist, or its trust policy does not allow the service."""


@dataclass(frozen=True)
class RoleRecord:
    """A role: its policies, their limits (by AWS's name), and its trust policy."""

    arn: str
    account_id: str
    name: str
    role_id: str
    policies: Sequence[Policy]
    limits: Mapping[str, Policy]
    trust: Policy


class Directory(Protocol):
    """Access to the data of IAM, STS and S3 in the local AWS."""

    def role(self, arn: str) -> RoleRecord | None:
        """The role as it is now."""

    def bucket(self, partition: str, name: str) -> tuple[str, Policy | None] | None:
        """The account that the bucket belongs to and its policy; None when there is no such bucket."""


@dataclass(frozen=True)
class AssumedRole:
    """A service that has assumed a role. ``require`` raises ServiceError for what the role may not do."""

    permissions: Permissions
    service: str
    role_arn: str
    session: str
    source: Mapping[str, Sequence[str]]
    scope: Scope

    def require(self, needs: Sequence[Need]) -> None:
        """Raise ServiceError AccessDenied(Exception) with AWS's text when the role lacks one of the permissions.

        The needs are those of one call; the first belongs to the called service. The role's current policies are used.
        Nothing is denied while permissions are not enforced.
        """
        if not self.permissions.enforced():
            return
        try:
            caller = self.permissions.service_caller(self.service, self.role_arn, self.session, self.source)
        except RoleNotAssumableError as error:
            message = f"{self.service} is not authorized to perform: {_ASSUME_ROLE} on resource: {self.role_arn}"
            raise ServiceError("AccessDenied", message, 403) from error
        self.permissions.require(caller, needs, self.scope)


@dataclass(frozen=True)
class Permissions:
    """The permissions of a local AWS. ``enforced``: whether they are enforced now."""

    directory: Directory
    enforced: Callable[[], bool]
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))

    def require(self, caller: Caller, needs: Sequence[Need], scope: Scope) -> None:
        """Raise ServiceError when the caller lacks, in this account and region, a permission that a call takes.

        The first need belongs to the called service, which also reports the denial of others (iam:PassRole).
        """
        context = self._request_context(scope) if needs else {}
        for need in needs:
            access = self._decide(caller, replace(need, context={**context, **need.context}))
            if not access.allowed:
                raise _error(needs[0].action.partition(":")[0], denial(caller, need, access.reason))

    def assume_role(self, service: str, role_arn: str, session: str, source_arn: str, scope: Scope) -> AssumedRole:
        """The service (``states.amazonaws.com``) in the role, for the resource ``source_arn``.

        Raises RoleNotAssumableError when permissions are enforced and the role does not trust the service.
        """
        source = {"aws:sourcearn": (source_arn,), "aws:sourceaccount": (scope.account_id,)}
        role = AssumedRole(self, service, role_arn, session, source, scope)
        if self.enforced():
            self.service_caller(service, role_arn, session, source)
        return role

    def service_caller(self, service: str, role_arn: str, session: str, source: Mapping[str, Sequence[str]]) -> Caller:
        """The session of a service in a role. Raises RoleNotAssumableError."""
        role = self.directory.role(role_arn)
        if role is None or not trusts_service(role.trust, service, source):
            raise RoleNotAssumableError(role_arn)
        return role_session(role, session)

    def _decide(self, caller: Caller, need: Need) -> Access:
        if need.action == _ASSUME_ROLE:
            role = self.directory.role(need.resource)
            return Access(False) if role is None else decide_assume_role(caller, need, role.trust)
        if need.action.startswith("s3:"):
            _, partition, _, _, _, place = need.resource.split(":", 5) if ":" in need.resource else ("", "", *[""] * 4)
            bucket = self.directory.bucket(partition, place.partition("/")[0])
            if bucket is not None:
                account_id, policy = bucket
                return decide(caller, need, policy, same_account=account_id == caller.account_id)
        return decide(caller, need)

    def _request_context(self, scope: Scope) -> dict[str, Sequence[str]]:
        """The global condition keys of a request. Requests from this machine count as TLS from the loopback."""
        now = self.now()
        return {
            "aws:currenttime": (now.strftime("%Y-%m-%dT%H:%M:%SZ"),),
            "aws:epochtime": (str(int(now.timestamp())),),
            "aws:requestedregion": (scope.region,),
            "aws:securetransport": ("true",),
            "aws:sourceip": ("127.0.0.1",),
        }


class _EmptyDirectory:
    def role(self, arn: str) -> RoleRecord | None:  # noqa: ARG002
        return None

    def bucket(self, partition: str, name: str) -> tuple[str, Policy | None] | None:  # noqa: ARG002
        return None


UNENFORCED: Final = Permissions(_EmptyDirectory(), lambda: False)
"""Permissions that are never enforced."""


def role_session(role: RoleRecord, session: str, limits: Mapping[str, Policy] | None = None) -> Caller:
    """The caller for a session of the role; ``limits`` are those of the session."""
    partition = role.arn.split(":")[1]
    return Caller(
        arn=f"arn:{partition}:sts::{role.account_id}:assumed-role/{role.name}/{session}",
        account_id=role.account_id,
        policies=role.policies,
        limits={**role.limits, **(limits or {})},
        role_arn=role.arn,
        user_id=f"{role.role_id}:{session}",
    )


def _error(service: str, message: str) -> ServiceError:
    if service in _JSON_SERVICES:
        return ServiceError("AccessDeniedException", message)
    return ServiceError("AccessDenied", message, 403)
