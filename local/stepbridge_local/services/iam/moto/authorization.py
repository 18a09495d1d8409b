"""Optional permission checks: who the caller of a request is, and whether its policies allow the request.

moto has its own IAM policy check, which ignores Resource and Condition. It stays off. The policies that moto's IAM, STS
and S3 store are evaluated by ``stepbridge_local.services.iam``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC
from typing import Any, Final
from urllib.parse import parse_qs
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment
from xml.etree import ElementTree

from moto.iam.models import iam_backends
from moto.s3.models import s3_backends
from moto.sts.models import sts_backends
from moto.utilities.utils import get_partition

from stepbridge_local.http.api_call import ApiCall, Credential
from stepbridge_local.partitions import partition
from stepbridge_local.protocols import Scope, ServiceError
from stepbridge_local.services.iam.decision import Caller, Need
from stepbridge_local.services.iam.operations import needs_of
from stepbridge_local.services.iam.permissions import Permissions, RoleRecord, role_session
from stepbridge_local.services.iam.policy import Policy, parse_policy
from stepbridge_local.services.iam.s3_operations import S3Request, s3_needs
from stepbridge_local.services.moto.requests import call_of, form_of, read_body, s3_place_of, send_error

__all__ = ["MotoDirectory", "authorized", "authorized_as_role"]

# A key of this form was issued. Any other ("local", "test", an account number) belongs to the account's root user.
_ISSUED_KEY: Final = re.compile(r"(AKIA|ASIA)[A-Z2-7]{16}")
_READS: Final = ("s3:GetObject", "s3:HeadObject")
_FORM_TYPE: Final = "application/x-www-form-urlencoded"
_ANONYMOUS: Final = Caller("anonymous", "")


class MotoDirectory:
    """The ``Directory`` of moto's backends, which reads them on each call."""

    def role(self, arn: str) -> RoleRecord | None:
        parts = arn.split(":", 5)
        if len(parts) != 6 or not parts[5].startswith("role/"):
            return None
        backend = iam_backends[parts[4]][parts[1]]
        role = next((one for one in list(backend.roles.values()) if one.arn == arn), None)
        if role is None:
            return None
        return RoleRecord(
            arn=arn,
            account_id=role.account_id,
            name=role.name,
            role_id=role.id,
            policies=_policies_of(role),
            limits=_boundary(backend, getattr(role, "permissions_boundary_arn", None)),
            trust=parse_policy(role.assume_role_policy_document or '{"Statement": []}'),
        )

    def bucket(self, partition: str, name: str) -> tuple[str, Policy | None] | None:
        for account_id, backends in list(s3_backends.items()):
            found: Any = backends[partition].buckets.get(name) if partition in backends else None
            if found is not None:
                return account_id, parse_policy(_text(found.policy)) if found.policy else None
        return None

    def has_object(self, partition: str, bucket: str, key: str) -> bool:
        """Whether the object exists, whoever owns the bucket."""
        buckets = [backends[partition].buckets for backends in list(s3_backends.values()) if partition in backends]
        return any(bucket in found and key in found[bucket].keys for found in buckets)

    def caller(self, credential: Credential | None, session_token: str, account_id: str) -> Caller:
        """Who signed a request. Raises ServiceError for a key that does not exist or whose session is over."""
        if credential is None:
            return _ANONYMOUS
        region, key = credential.region, credential.access_key_id
        found = self._role_session(key, session_token, account_id, region) or self._user(key, account_id, region)
        if found is not None:
            return found
        if _ISSUED_KEY.fullmatch(key):
            raise _unknown_key(credential.service)
        return Caller(f"arn:{partition(region)}:iam::{account_id}:root", account_id, is_root=True)

    def _role_session(self, key: str, session_token: str, account_id: str, region: str) -> Caller | None:
        sessions = sts_backends[account_id][get_partition(region)].assumed_roles
        session = next((one for one in reversed(sessions) if one.access_key_id == key), None)
        if session is None:
            return None
        if session.session_token != session_token:
            raise ServiceError("InvalidClientTokenId", "The security token included in the request is invalid.", 403)
        if session.expiration.replace(tzinfo=UTC) < _now():
            raise ServiceError("ExpiredToken", "The security token included in the request is expired", 403)
        role = self.role(session.role_arn)
        if role is None:
            raise ServiceError("InvalidClientTokenId", "The security token included in the request is invalid.", 403)
        limits = {"session policy": parse_policy(session.policy)} if session.policy else {}
        return role_session(role, session.session_name, limits)

    def _user(self, key: str, account_id: str, region: str) -> Caller | None:
        backend = iam_backends[account_id][get_partition(region)]
        issued = backend.access_keys.get(key)
        if issued is None or issued.user_name is None:
            return None
        user = backend.users[issued.user_name]
        if next((one.status for one in user.access_keys if one.access_key_id == key), "") != "Active":
            raise _unknown_key("iam")
        groups = [group for group in list(backend.groups.values()) if user in group.users]
        policies = [policy for entity in (user, *groups) for policy in _policies_of(entity)]
        return Caller(user.arn, account_id, policies, user_name=user.name, user_id=user.id)


def authorized(application: WSGIApplication, permissions: Permissions, directory: MotoDirectory) -> WSGIApplication:
    """The application. While permissions are enforced, it denies requests that the callers' policies do not allow."""

    def caller_of(environ: WSGIEnvironment, call: ApiCall, credential: Credential | None) -> Caller:
        return directory.caller(credential, _session_token(environ), call.account_id)

    return _guarded(application, permissions, directory, caller_of)


def authorized_as_role(
    application: WSGIApplication, permissions: Permissions, directory: MotoDirectory, role_arn: str, session: str
) -> WSGIApplication:
    """The application for a service that acts as a role: all requests are checked with that role."""

    def caller_of(_environ: WSGIEnvironment, call: ApiCall, _credential: Credential | None) -> Caller:
        role = directory.role(role_arn)
        if role is None:
            raise ServiceError("AccessDenied", f"{call.name}: the role {role_arn} does not exist", 403)
        return role_session(role, session)

    return _guarded(application, permissions, directory, caller_of)


def _guarded(
    application: WSGIApplication,
    permissions: Permissions,
    directory: MotoDirectory,
    caller_of: Callable[[WSGIEnvironment, ApiCall, Credential | None], Caller],
) -> WSGIApplication:
    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if not permissions.enforced():
            return application(environ, start_response)
        call, credential = call_of(environ)
        try:
            caller = caller_of(environ, call, credential)
            needs = _needs(call, environ)
            if call.name in _READS and not directory.has_object(partition(call.region), *s3_place_of(environ)):
                needs.append(_listing_need(needs[0]))  # who may not list must not learn that it is missing
            if caller is _ANONYMOUS and needs:
                raise _anonymous(call.service)
            permissions.require(caller, needs, Scope(call.account_id, call.region))
        except ServiceError as error:
            return send_error(call, error, environ, start_response)
        return application(environ, start_response)

    return answer


# --- what a request asks ----------------------------------------------------------------------------------------------
def _needs(call: ApiCall, environ: WSGIEnvironment) -> list[Need]:
    if call.service == "s3":
        return _s3_needs(call, environ) if call.operation else []
    if not call.operation:
        return []
    if environ.get("CONTENT_TYPE", "").startswith(_FORM_TYPE) or environ["REQUEST_METHOD"] == "GET":
        members: Mapping[str, Any] = form_of(environ)
    else:
        members = _json_members(read_body(environ))
    if call.name == "sts:AssumeRole":
        context = {"sts:externalid": (members["ExternalId"],)} if "ExternalId" in members else {}
        session = {"sts:rolesessionname": (str(members.get("RoleSessionName", "")),)}
        return [Need(call.name, str(members.get("RoleArn", "")), {**context, **session})]
    return needs_of(call, members)


def _listing_need(read: Need) -> Need:
    bucket_arn, _, key = read.resource.partition("/")
    return Need("s3:ListBucket", bucket_arn, {"s3:prefix": (key,)})


def _json_members(body: bytes) -> Mapping[str, Any]:
    """The members of a JSON body. Empty if it is not an object; the service itself refuses that."""
    try:
        members = json.loads(body or b"{}")
    except ValueError:
        return {}
    return members if isinstance(members, dict) else {}


def _s3_needs(call: ApiCall, environ: WSGIEnvironment) -> list[Need]:
    bucket, key = s3_place_of(environ)
    query = parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True)
    deleted = _deleted_keys(read_body(environ)) if call.operation == "DeleteObjects" else []
    return s3_needs(
        S3Request(
            operation=call.operation,
            partition=partition(call.region),
            bucket=bucket,
            key=key,
            query={name: values[0] for name, values in query.items()},
            headers={
                name.removeprefix("HTTP_").replace("_", "-").lower(): str(value)
                for name, value in environ.items()
                if name.startswith("HTTP_X_AMZ_")
            },
            deleted_keys=deleted,
        )
    )


def _deleted_keys(body: bytes) -> list[tuple[str, str]]:
    """The keys and versions in a DeleteObjects request. Empty if S3 itself refuses the request."""
    try:
        document = ElementTree.fromstring(body)
    except ElementTree.ParseError:
        return []
    return [
        (one.findtext("{*}Key") or "", one.findtext("{*}VersionId") or "") for one in document.iterfind("{*}Object")
    ]


def _session_token(environ: WSGIEnvironment) -> str:
    given = environ.get("HTTP_X_AMZ_SECURITY_TOKEN")
    if given is not None:
        return str(given)
    return str(parse_qs(environ.get("QUERY_STRING", "")).get("X-Amz-Security-Token", [""])[0])


# --- what moto keeps --------------------------------------------------------------------------------------------------
def _policies_of(entity: Any) -> list[Policy]:
    """The inline and attached policies of a role, user or group."""
    inline = [parse_policy(_text(document)) for document in list(entity.policies.values())]
    return inline + [_default_version(policy) for policy in list(entity.managed_policies.values())]


def _default_version(policy: Any) -> Policy:
    version = next(version for version in policy.versions if version.is_default)
    return parse_policy(_text(version.document))


def _boundary(backend: Any, arn: str | None) -> Mapping[str, Policy]:
    if not arn:
        return {}
    return {"permissions boundary": _default_version(backend.managed_policies[arn])}


def _text(document: Any) -> str:
    if isinstance(document, bytes):
        return str(document, "utf-8")
    return str(document) if isinstance(document, str) else json.dumps(document)


def _now() -> Any:
    from moto.core.utils import utcnow  # the clock that moto uses for sessions

    return utcnow().replace(tzinfo=UTC)


def _unknown_key(service: str) -> ServiceError:
    if service == "s3":
        return ServiceError(
            "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.", 403
        )
    code = "InvalidClientTokenId" if service in ("iam", "sts", "cloudformation") else "UnrecognizedClientException"
    return ServiceError(code, "The security token included in the request is invalid.", 403)


def _anonymous(service: str) -> ServiceError:
    if service == "s3":
        return ServiceError("AccessDenied", "Access Denied", 403)
    return ServiceError("MissingAuthenticationTokenException", "Missing Authentication Token", 403)
