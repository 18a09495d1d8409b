"""S3's rules, without a server: the first problem of a request, and none for what is allowed."""

from __future__ import annotations

import random
import string

import pytest

from stepbridge_local.protocols import ServiceError
from stepbridge_local.services.s3.rules import S3Call, problem_of_body, problem_of_call


def code(problem: ServiceError | None) -> str:
    assert problem is None or problem.http_status == 400
    return "" if problem is None else problem.code


@pytest.mark.parametrize("operation", ["ListObjects", "HeadBucket", "PutObject", "DeleteBucket"])
def test_only_a_new_bucket_needs_a_good_name(operation: str) -> None:
    """A bucket that an older local AWS created can be read and deleted."""
    assert code(problem_of_call(S3Call(operation, "Old_Bucket"))) == ""
    assert code(problem_of_call(S3Call("CreateBucket", "Old_Bucket"))) == "InvalidBucketName"


def test_any_name_and_number_is_answered() -> None:
    """None of 2,000 arbitrary requests makes the rules fail, and bucket names never go beyond the alphabet."""
    chance = random.Random(9)
    alphabet = string.printable + "éß日\u0661\x00"
    good = set(string.ascii_lowercase + string.digits + ".-")
    for _ in range(2000):
        text = "".join(chance.choices(alphabet, k=chance.randrange(70)))
        query = dict.fromkeys(("max-keys", "partNumber", "versionId", "encoding-type", "max-buckets"), text)
        headers = {
            "content-md5": text,
            "x-amz-copy-source": text,
            "x-amz-copy-source-range": text,
            "x-amz-tagging": text,
        }
        assert code(problem_of_call(S3Call("UploadPartCopy", "b", text, query, headers)))
        if code(problem_of_call(S3Call("CreateBucket", text))) == "":
            assert set(text) <= good
        problem_of_body(S3Call("DeleteObjects"), text.encode())


@pytest.mark.parametrize(("size", "expected"), [(1024, ""), (1025, "KeyTooLongError")])
def test_keys_are_measured_in_bytes(size: int, expected: str) -> None:
    """Of UTF-8, whatever the characters are."""
    assert code(problem_of_call(S3Call("PutObject", "b", "a" * size))) == expected
    assert code(problem_of_call(S3Call("PutObject", "b", "é" * 512 + "a" * (size - 1024)))) == expected


@pytest.mark.parametrize("operation", ["PutObject", "CopyObject", "CreateMultipartUpload"])
def test_metadata_is_measured_in_names_and_values(operation: str) -> None:
    """The prefix of the headers does not count."""
    headers = {"x-amz-meta-ab": "x" * 1000, "x-amz-meta-cd": "x" * 1044, "x-amz-copy-source": "b/k"}
    assert code(problem_of_call(S3Call(operation, "b", "k", {}, headers))) == ""
    assert code(problem_of_call(S3Call(operation, "b", "k", {}, headers | {"x-amz-meta-e": ""}))) == "MetadataTooLarge"


def test_policies_are_not_xml() -> None:
    """The body of PutBucketPolicy is JSON."""
    statement = b'{"Effect": "Deny", "Action": "*", "Resource": "*", "Principal": "*"}'
    assert problem_of_body(S3Call("PutBucketPolicy"), b'{"Statement": [' + statement + b"]}") is None
    assert problem_of_body(S3Call("PutBucketPolicy"), b'{"Statement": ' + statement + b"}") is None
    assert code(problem_of_body(S3Call("PutBucketPolicy"), b"<x/>")) == "MalformedPolicy"
    assert code(problem_of_body(S3Call("PutBucketVersioning"), b"{}")) == "MalformedXML"
