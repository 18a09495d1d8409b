"""botocore's exceptions become errors that say where, what, and what to do next."""

from __future__ import annotations

import pickle

import pytest
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionClosedError,
    EndpointConnectionError,
    NoCredentialsError,
    ProfileNotFound,
    ReadTimeoutError,
    SSLError,
)

from stepbridge.aws import calls
from stepbridge.aws.calls import aws_call, error_of
from stepbridge.errors import (
    AccessDeniedError,
    AlreadyExistsError,
    AwsError,
    CredentialsError,
    EndpointUnreachableError,
    NotFoundError,
    NotRedrivableError,
    QuotaExceededError,
    RequestRejectedError,
    ServiceUnavailableError,
    ThrottlingError,
)

ARN = "arn:aws:states:us-east-1:123456789012:execution:m:e"


def answered(code: str, message: str = "because", http_status: int = 400) -> ClientError:
    metadata = {"RequestId": "r-1", "HTTPStatusCode": http_status}
    return ClientError({"Error": {"Code": code, "Message": message}, "ResponseMetadata": metadata}, "Any")  # type: ignore[typeddict-item]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (answered("AccessDeniedException"), AccessDeniedError),
        (answered("403", "Forbidden", 403), AccessDeniedError),
        (answered("ExpiredTokenException"), CredentialsError),
        (answered("InvalidClientTokenId"), CredentialsError),
        (answered("ExecutionDoesNotExist"), NotFoundError),
        (answered("404", "Not Found", 404), NotFoundError),
        (answered("ValidationException", "Could not find requested job with name: x"), NotFoundError),
        (answered("ValidationException", "1 validation error detected"), RequestRejectedError),
        (answered("ExecutionAlreadyExists"), AlreadyExistsError),
        (answered("ExecutionNotRedrivable"), NotRedrivableError),
        (answered("ThrottlingException"), ThrottlingError),
        (answered("Whatever", http_status=429), ThrottlingError),
        (answered("ResourceLimitExceeded"), QuotaExceededError),
        (answered("InternalFailure", http_status=500), ServiceUnavailableError),
        (answered("InvalidArn"), RequestRejectedError),
        (NoCredentialsError(), CredentialsError),
        (ProfileNotFound(profile="nightly"), CredentialsError),
        (EndpointConnectionError(endpoint_url="http://127.0.0.1:1"), EndpointUnreachableError),
        (ReadTimeoutError(endpoint_url="http://127.0.0.1:1"), EndpointUnreachableError),
        (ConnectionClosedError(endpoint_url="http://127.0.0.1:1"), EndpointUnreachableError),
        (SSLError(endpoint_url="https://127.0.0.1:1", error="self-signed"), EndpointUnreachableError),
        (BotoCoreError(), RequestRejectedError),
    ],
)
def test_each_error_has_its_class(error: ClientError | BotoCoreError, expected: type[AwsError]) -> None:
    """What the caller can do about it decides the class."""
    converted = error_of(error, "states:DescribeExecution", ARN)
    assert type(converted) is expected
    assert (converted.action, converted.resource) == ("states:DescribeExecution", ARN)


def test_an_answer_keeps_its_code_and_request_id() -> None:
    """AWS support asks for the request id, so it is kept and shown."""
    error = error_of(answered("ThrottlingException", "Rate exceeded"), "states:ListExecutions", ARN)
    assert (error.code, error.request_id) == ("ThrottlingException", "r-1")
    assert str(error) == (
        f"states:ListExecutions on {ARN}: ThrottlingException: Rate exceeded (request r-1); wait and try again"
    )


def test_a_denial_names_the_statement_to_add() -> None:
    """The action and resource of AWS's own message win: one call may need several permissions."""
    message = (
        "User: arn:aws:sts::123456789012:assumed-role/airflow/s is not authorized to perform: kms:Decrypt "
        "on resource: arn:aws:kms:us-east-1:123456789012:key/k because no identity-based policy allows it"
    )
    error = error_of(answered("AccessDeniedException", message), "states:StartExecution", ARN)
    assert (error.action, error.resource) == ("kms:Decrypt", "arn:aws:kms:us-east-1:123456789012:key/k")
    assert error.remedy == (
        'A permission is missing: add {"Effect": "Allow", "Action": "kms:Decrypt", '
        '"Resource": "arn:aws:kms:us-east-1:123456789012:key/k"} to a policy of role airflow, '
        "or run 'stepbridge deploy' again if the stack's roles were changed by hand"
    )


def test_an_explicit_denial_is_not_remedied_by_another_statement() -> None:
    """No Allow overrules a Deny, so none is advised."""
    message = (
        "User: arn:aws:iam::123456789012:user/jane is not authorized to perform: s3:PutObject on resource: "
        '"arn:aws:s3:::data/key" with an explicit deny in a service control policy'
    )
    error = error_of(answered("AccessDenied", message, 403), "s3:PutObject", "s3://data/key")
    assert (error.action, error.resource) == ("s3:PutObject", "arn:aws:s3:::data/key")
    assert error.remedy.startswith("A Deny statement of a policy is in the way, which no other statement overrules")
    assert "arn:aws:iam::123456789012:user/jane" in error.remedy


def test_a_denied_head_says_that_the_object_may_only_be_missing() -> None:
    """S3 hides missing objects from callers who may not list the bucket."""
    error = error_of(answered("403", "Forbidden", 403), "s3:GetObject", "s3://bucket/key")
    assert "without s3:ListBucket on the bucket a missing object reads as denied too" in error.remedy


def test_the_context_manager_lets_other_exceptions_pass() -> None:
    """Only botocore's exceptions are converted."""
    with pytest.raises(ZeroDivisionError), aws_call("s3:PutObject", "s3://bucket/key"):
        _ = 1 / 0
    with pytest.raises(NotFoundError) as caught, aws_call("s3:PutObject", "s3://bucket/key"):
        raise answered("NoSuchBucket")
    assert isinstance(caught.value.__cause__, ClientError)


@pytest.mark.parametrize("error_class", [AwsError, *AwsError.__subclasses__()])
def test_errors_survive_pickling(error_class: type[AwsError]) -> None:
    """Airflow pickles exceptions between processes."""
    error = error_class("where", "found", "expected", "remedy")
    error.code, error.request_id = "Code", "r-1"
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), copy.code, copy.request_id) == (type(error), str(error), "Code", "r-1")


def test_no_code_is_in_two_tables() -> None:
    """Each code means one thing."""
    tables = [table for name, table in vars(calls).items() if name.isupper() and isinstance(table, frozenset)]
    assert len(tables) == 7
    assert sum(len(table) for table in tables) == len(frozenset().union(*tables))
