"""botocore's exceptions become the ``AwsError`` classes of ``stepbridge.errors``.

Every boto3 call is made inside ``with aws_call("states:StartExecution", arn):``. The tables at the top hold the error
codes as AWS documents them in each service's API reference and as botocore's service models name them. A code that is
in no table becomes ``RequestRejectedError`` with AWS's own message.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from botocore import exceptions as botocore_errors
from botocore.exceptions import BotoCoreError, ClientError

from stepbridge import errors
from stepbridge.core.permissions import denial_in
from stepbridge.errors import AwsError

# Error codes, by what they mean for the caller. Only codes that AWS documents; a code is in one table only.
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
_ALREADY_EXISTS: Final = frozenset({"ExecutionAlreadyExists", "ResourceInUse", "ResourceAlreadyExistsException"})
_NOT_REDRIVABLE: Final = frozenset({"ExecutionNotRedrivable"})
_THROTTLING: Final = frozenset({
    "Throttling", "ThrottlingException", "ThrottledException", "RequestThrottled", "RequestThrottledException",
    "TooManyRequestsException", "RequestLimitExceeded", "SlowDown", "PriorRequestNotComplete",
    "KmsThrottlingException",
})  # fmt: skip
_QUOTA_EXCEEDED: Final = frozenset({
    "ExecutionLimitExceeded", "ResourceLimitExceeded", "LimitExceededException", "AccountLimitExceededException",
    "OverLimit",
})  # fmt: skip

# What an error becomes: its class, what was expected, and the remedy.
_Meaning = tuple[type[AwsError], str, str]
_REJECTED: Final = (errors.RequestRejectedError, "", "")
_TOO_FAST: Final = (errors.ThrottlingError, "", "wait and try again")
_BROKEN_SERVICE: Final = (errors.ServiceUnavailableError, "", "try again; see the AWS Health Dashboard")
_MISSING: Final = (
    errors.NotFoundError, "that it exists",
    "check the name, account, region and endpoint; `stepbridge deploy` creates what stepbridge needs",
)  # fmt: skip
_NO_CREDENTIALS: Final = (
    errors.CredentialsError, "valid AWS credentials",
    "put valid credentials or a role into the Airflow connection (or the profile), or give the worker a role",
)  # fmt: skip
_NO_ANSWER: Final = (
    errors.EndpointUnreachableError, "an answer from the service",
    "check the network and the connection's endpoint_url and region_name; for the local AWS: `stepbridge local up`",
)  # fmt: skip
_MEANINGS: Final[tuple[tuple[frozenset[str], _Meaning], ...]] = (
    (_CREDENTIALS, _NO_CREDENTIALS),
    (_NOT_REDRIVABLE, (errors.NotRedrivableError, "an execution that AWS can redrive", "")),
    (_ALREADY_EXISTS, (errors.AlreadyExistsError, "a name that is free", "")),
    (_NOT_FOUND, _MISSING),
    (_THROTTLING, _TOO_FAST),
    (_QUOTA_EXCEEDED, (errors.QuotaExceededError, "room in the account's quota",
     "wait until something ends, or have the quota raised in the Service Quotas console")),
)  # fmt: skip

_WITHOUT_CREDENTIALS: Final = (
    botocore_errors.NoCredentialsError, botocore_errors.PartialCredentialsError,
    botocore_errors.CredentialRetrievalError, botocore_errors.TokenRetrievalError, botocore_errors.NoAuthTokenError,
    botocore_errors.ProfileNotFound, botocore_errors.SSOError,
)  # fmt: skip
_WITHOUT_ANSWER: Final = (botocore_errors.ConnectionError, botocore_errors.HTTPClientError)


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
    """The ``AwsError`` for botocore's ``error``, raised by ``action`` on ``resource``."""
    if isinstance(error, ClientError):
        return _from_response(error, action, resource)
    no_answer = _NO_ANSWER if isinstance(error, _WITHOUT_ANSWER) else _REJECTED
    meaning = _NO_CREDENTIALS if isinstance(error, _WITHOUT_CREDENTIALS) else no_answer
    return _error(meaning, action, resource, f"{type(error).__name__}: {error}")


def _from_response(error: ClientError, action: str, resource: str) -> AwsError:
    answer = error.response.get("Error", {})
    metadata = error.response.get("ResponseMetadata", {})
    code, message = str(answer.get("Code", "")), str(answer.get("Message", ""))
    request_id, http_status = str(metadata.get("RequestId", "")), int(metadata.get("HTTPStatusCode", 0))
    found = f"{code}: {message}" if message else code or f"HTTP {http_status}"
    if request_id:
        found += f" (request {request_id})"
    if code in _ACCESS_DENIED:
        converted = _access_denied(message, found, action, resource)
    else:
        converted = _error(_meaning(code, message, http_status), action, resource, found)
    converted.code, converted.request_id = code, request_id
    return converted


def _meaning(code: str, message: str, http_status: int) -> _Meaning:
    for codes, meaning in _MEANINGS:
        if code in codes:
            return meaning
    if code == "ValidationException" and "could not find" in message.lower():
        return _MISSING
    if http_status == 429:
        return _TOO_FAST
    return _BROKEN_SERVICE if http_status >= 500 else _REJECTED


def _access_denied(message: str, found: str, action: str, resource: str) -> AwsError:
    """AWS's message names action and resource better than the caller can (a call may need several actions)."""
    denial = denial_in(message)
    remedy = f"allow {action} on {resource} in a policy of the role or user of the Airflow connection"
    if denial is not None:
        action, resource, remedy = denial.action, denial.resource, denial.remedy
    if action == "s3:GetObject":
        remedy += "; without s3:ListBucket on the bucket a missing object reads as denied too"
    return _error((errors.AccessDeniedError, f"permission for {action}", remedy), action, resource, found)


def _error(meaning: _Meaning, action: str, resource: str, found: str) -> AwsError:
    error_class, expected, remedy = meaning
    error = error_class(f"{action} on {resource}", found, expected, remedy)
    error.action, error.resource = action, resource
    return error
