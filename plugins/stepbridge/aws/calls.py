"""What an AWS call can end in, and how botocore's exceptions become it.

``with aws_call("states:StartExecution", arn):`` around a boto3 call is the one place where botocore's errors turn into
stepbridge's. The tables at the top are data: error codes as AWS documents them in each service's API reference and as
botocore's service models name them. A code that stands in no table becomes ``RequestRejectedError`` with AWS's own words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    HTTPClientError,
    NoAuthTokenError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    ReadTimeoutError,
    SSLError,
    SSOError,
    TokenRetrievalError,
)

from stepbridge.errors import StepbridgeError

__all__ = [
    "AccessDeniedError",
    "AwsError",
    "CredentialsError",
    "EndpointUnreachableError",
    "NameInUseError",
    "NotFoundError",
    "NotRedrivableError",
    "QuotaExceededError",
    "RequestRejectedError",
    "ServiceUnavailableError",
    "ThrottledError",
    "aws_call",
    "error_of",
]


class AwsError(StepbridgeError):
    """A call of AWS that did not do what was asked.

    ``action`` is the IAM action (``states:StartExecution``), ``resource`` what it was called on, ``code`` the AWS
    exception name and ``request_id`` what AWS support asks for; the last two are empty when no answer came.
    """

    action: str = ""
    resource: str = ""
    code: str = ""
    request_id: str = ""


class AccessDeniedError(AwsError):
    """The credentials are good, but no policy allows the action on the resource."""


class CredentialsError(AwsError):
    """There are no credentials, or they are expired or wrong."""


class NotFoundError(AwsError):
    """What was asked for does not exist."""


class NameInUseError(AwsError):
    """Something of that name exists already."""


class NotRedrivableError(AwsError):
    """The execution cannot be redriven."""


class ThrottledError(AwsError):
    """Too many calls; the same call succeeds later."""


class QuotaExceededError(AwsError):
    """A quota of the account is used up."""


class ServiceUnavailableError(AwsError):
    """The service failed on its own side (5xx); the same call may succeed later."""


class EndpointUnreachableError(AwsError):
    """No answer came: name not resolved, connection refused, closed or timed out."""


class RequestRejectedError(AwsError):
    """The service refused the request as it is."""


# Error codes, by what they mean for the caller. Only codes that AWS documents; a code stands in one table.
_ACCESS_DENIED: Final = frozenset({
    "AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError", "Forbidden", "403",
    "KmsAccessDeniedException", "AllAccessDisabled",
})  # fmt: skip
_CREDENTIALS: Final = frozenset({
    "ExpiredToken", "ExpiredTokenException", "RequestExpired", "InvalidClientTokenId", "UnrecognizedClientException",
    "InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidSignatureException",
    "MissingAuthenticationToken", "MissingAuthenticationTokenException", "IncompleteSignature",
})  # fmt: skip
_NOT_FOUND: Final = frozenset({
    "ExecutionDoesNotExist", "StateMachineDoesNotExist", "StateMachineDeleting", "NoSuchKey", "NoSuchBucket", "404",
    "NotFound", "ResourceNotFound", "ResourceNotFoundException", "RepositoryNotFoundException",
    "ImageNotFoundException", "AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist",
})  # fmt: skip
_NAME_TAKEN: Final = frozenset({"ExecutionAlreadyExists", "ResourceInUse", "ResourceAlreadyExistsException"})
_NOT_REDRIVABLE: Final = frozenset({"ExecutionNotRedrivable"})
_THROTTLED: Final = frozenset({
    "Throttling", "ThrottlingException", "ThrottledException", "RequestThrottled", "RequestThrottledException",
    "TooManyRequestsException", "RequestLimitExceeded", "SlowDown", "PriorRequestNotComplete",
    "KmsThrottlingException",
})  # fmt: skip
_LIMIT: Final = frozenset({
    "ExecutionLimitExceeded", "ResourceLimitExceeded", "LimitExceededException", "AccountLimitExceededException",
    "OverLimit",
})  # fmt: skip

_DENIED_TEXT: Final = re.compile(
    r"User: (?P<principal>\S+) is not authorized to perform: (?P<action>[\w-]+:\w+)(?: on resource: (?P<resource>\S+))?"
)


@contextmanager
def aws_call(action: str, resource: str) -> Iterator[None]:
    """Turn botocore's exceptions of the block into an ``AwsError``.

    ``action`` is the IAM action of the call, ``resource`` the ARN, name or URI it is about.
    """
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        raise error_of(error, action, resource) from error


def error_of(error: ClientError | BotoCoreError, action: str, resource: str) -> AwsError:
    """The fault that stands for botocore's ``error``, raised by ``action`` on ``resource``."""
    if isinstance(error, ClientError):
        return _of_answer(error, action, resource)
    return _of_no_answer(error, action, resource)


def _of_answer(error: ClientError, action: str, resource: str) -> AwsError:
    answer = error.response.get("Error", {})
    metadata = error.response.get("ResponseMetadata", {})
    code, message = str(answer.get("Code", "")), str(answer.get("Message", ""))
    request_id, http_status = str(metadata.get("RequestId", "")), int(metadata.get("HTTPStatusCode", 0))
    found = f"{code}: {message}" if message else code or f"HTTP {http_status}"
    if request_id:
        found += f" (request {request_id})"
    fault = _classified(code, message, http_status, found, action, resource)
    fault.code, fault.request_id = code, request_id
    return fault


def _classified(code: str, message: str, http_status: int, found: str, action: str, resource: str) -> AwsError:
    where = f"{action} on {resource}"
    if code in _ACCESS_DENIED:
        return _access_denied(message, found, action, resource)
    if code in _CREDENTIALS:
        remedy = "renew the credentials of the Airflow connection (or of the profile), then run again"
        return _fault(CredentialsError, action, resource, where, found, "valid AWS credentials", remedy)
    if code in _NOT_REDRIVABLE:
        return _fault(NotRedrivableError, action, resource, where, found, "an execution that AWS can redrive", "")
    if code in _NAME_TAKEN:
        return _fault(NameInUseError, action, resource, where, found, "a name that is free", "")
    if code in _NOT_FOUND or (code == "ValidationException" and "could not find" in message.lower()):
        remedy = "check the name, account, region and endpoint; `stepbridge deploy` makes what stepbridge needs"
        return _fault(NotFoundError, action, resource, where, found, "that it exists", remedy)
    if code in _THROTTLED or http_status == 429:
        return _fault(ThrottledError, action, resource, where, found, "", "wait and try again")
    if code in _LIMIT:
        remedy = "wait until something ends, or have the quota raised in the Service Quotas console"
        return _fault(QuotaExceededError, action, resource, where, found, "room in the account's quota", remedy)
    if http_status >= 500:
        return _fault(
            ServiceUnavailableError, action, resource, where, found, "", "try again; see the AWS Health Dashboard"
        )
    return _fault(RequestRejectedError, action, resource, where, found, "", "")


def _access_denied(message: str, found: str, action: str, resource: str) -> AwsError:
    """AWS's message names action and resource better than the caller can (a call may need several actions)."""
    named = _DENIED_TEXT.search(message)
    principal = named["principal"] if named else "the role or user of the Airflow connection"
    action = named["action"] if named else action
    resource = (named["resource"] or resource) if named else resource
    remedy = f"allow {action} on {resource} in a policy of {principal}"
    if action == "s3:GetObject":
        remedy += "; without s3:ListBucket on the bucket a missing object reads as denied too"
    where = f"{action} on {resource}"
    return _fault(AccessDeniedError, action, resource, where, found, f"permission for {action}", remedy)


def _of_no_answer(error: BotoCoreError, action: str, resource: str) -> AwsError:
    where, found = f"{action} on {resource}", f"{type(error).__name__}: {error}"
    credentials = (
        NoCredentialsError, PartialCredentialsError, CredentialRetrievalError, TokenRetrievalError, NoAuthTokenError,
        ProfileNotFound, SSOError,
    )  # fmt: skip
    unreachable = (
        EndpointConnectionError, ConnectTimeoutError, ReadTimeoutError, ConnectionClosedError, SSLError,
        HTTPClientError,
    )  # fmt: skip
    if isinstance(error, credentials):
        remedy = "put credentials or a role into the Airflow connection aws_default, or give the worker a role"
        return _fault(CredentialsError, action, resource, where, found, "AWS credentials", remedy)
    if isinstance(error, unreachable):
        remedy = (
            "check the network and the connection's endpoint_url and region_name; "
            "for the local AWS: `stepbridge local up`"
        )
        return _fault(EndpointUnreachableError, action, resource, where, found, "an answer from the service", remedy)
    return _fault(RequestRejectedError, action, resource, where, found, "", "")


def _fault(
    kind: type[AwsError], action: str, resource: str, where: str, found: str, expected: str, remedy: str
) -> AwsError:
    fault = kind(where, found, expected, remedy)
    fault.action, fault.resource = action, resource
    return fault
