"""S3 of the local AWS through boto3: what moto is replaced in, and what must not have suffered from it."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import os
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from stepbridge_local.testing import LocalAwsProcess

MB = 1 << 20
PART = 5 * MB


@pytest.fixture
def s3(client: Callable[..., Any]) -> Any:
    return client("s3")


@pytest.fixture
def bucket(s3: Any, name: str) -> str:
    s3.create_bucket(Bucket=name)
    return name


def read(s3: Any, bucket: str, key: str, **options: Any) -> bytes:
    body: bytes = s3.get_object(Bucket=bucket, Key=key, **options)["Body"].read()
    return body


def code(error: pytest.ExceptionInfo[ClientError]) -> str:
    return str(error.value.response["Error"]["Code"])


@pytest.mark.parametrize("key", ["plain", "a b/c+d", "ü/ñ/日本", "100%/x%2Fy", "a//b", "trailing/", "quote'\"&<>"])
def test_any_key_comes_back_as_it_was(s3: Any, bucket: str, key: str) -> None:
    """Keys are not paths and not URLs."""
    s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    assert read(s3, bucket, key) == key.encode()
    assert [found["Key"] for found in s3.list_objects_v2(Bucket=bucket)["Contents"]] == [key]


@pytest.mark.parametrize("algorithm", ["CRC32", "SHA1", "SHA256"])
def test_an_upload_answers_with_its_checksums(s3: Any, bucket: str, algorithm: str) -> None:
    """ETag is the MD5, and the checksum the client asked for is the content's."""
    body = os.urandom(3 * MB)
    answer = s3.put_object(Bucket=bucket, Key="x", Body=body, ChecksumAlgorithm=algorithm)
    digest = zlib.crc32(body).to_bytes(4, "big") if algorithm == "CRC32" else hashlib.new(algorithm, body).digest()
    assert answer["ETag"] == f'"{hashlib.md5(body).hexdigest()}"'
    assert answer[f"Checksum{algorithm}"] == base64.b64encode(digest).decode()
    found = s3.get_object(Bucket=bucket, Key="x", ChecksumMode="ENABLED")
    assert found[f"Checksum{algorithm}"] == base64.b64encode(digest).decode()
    assert found["Body"].read() == body


def test_content_that_does_not_fit_its_checksum_is_refused(s3: Any, bucket: str) -> None:
    """And what was there before stays."""
    s3.put_object(Bucket=bucket, Key="x", Body=b"before")
    wrong = base64.b64encode(hashlib.sha256(b"something else").digest()).decode()
    with pytest.raises(ClientError) as refused:
        s3.put_object(Bucket=bucket, Key="x", Body=b"content", ChecksumSHA256=wrong)
    assert code(refused) == "BadDigest"
    assert read(s3, bucket, "x") == b"before"


def test_an_upload_that_breaks_off_stores_nothing(local_aws: LocalAwsProcess, s3: Any, bucket: str) -> None:
    """A client that dies in the middle of a body leaves no half object, and no file."""
    before = content_files(local_aws.data_dir)
    address = urlsplit(local_aws.endpoint_url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=60)
    signature = "AWS4-HMAC-SHA256 Credential=local/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=x"
    connection.putrequest("PUT", f"/{bucket}/half")
    connection.putheader("Authorization", signature)
    connection.putheader("Content-Length", str(10 * MB))
    connection.endheaders(b"x" * MB)
    connection.close()
    with pytest.raises(ClientError) as missing:
        s3.get_object(Bucket=bucket, Key="half")
    assert code(missing) == "NoSuchKey"
    wait_until(lambda: content_files(local_aws.data_dir) == before)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [("bytes=0-3", b"0123"), ("bytes=5-", b"56789"), ("bytes=-2", b"89"), ("bytes=8-100", b"89")],
)
def test_a_part_of_an_object(s3: Any, bucket: str, asked: str, expected: bytes) -> None:
    """Ranges from the start, to the end, and past it."""
    s3.put_object(Bucket=bucket, Key="x", Body=b"0123456789")
    answer = s3.get_object(Bucket=bucket, Key="x", Range=asked)
    assert answer["Body"].read() == expected
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 206
    assert answer["ContentLength"] == len(expected)


def test_a_range_outside_of_an_object_is_refused(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="x", Body=b"0123456789")
    with pytest.raises(ClientError) as refused:
        s3.get_object(Bucket=bucket, Key="x", Range="bytes=10-12")
    assert code(refused) == "InvalidRange"


def test_metadata_with_underscores_and_headers(s3: Any, bucket: str) -> None:
    """``my_key`` is not ``my-key``, and what a client says about the content comes back."""
    s3.put_object(
        Bucket=bucket, Key="x", Body=b"{}", Metadata={"my_key": "v", "other-key": "w"}, ContentType="application/json"
    )
    head = s3.head_object(Bucket=bucket, Key="x")
    assert head["Metadata"] == {"my_key": "v", "other-key": "w"}
    assert (head["ContentType"], head["ContentLength"]) == ("application/json", 2)


def test_an_empty_object(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="x", Body=b"")
    assert read(s3, bucket, "x") == b""


def test_a_copy_stays_when_its_source_is_deleted_or_overwritten(s3: Any, bucket: str) -> None:
    """Copies share a file, not an object."""
    s3.put_object(Bucket=bucket, Key="a", Body=b"content", Metadata={"k": "v"}, Tagging="t=1")
    s3.copy_object(Bucket=bucket, Key="b", CopySource={"Bucket": bucket, "Key": "a"})
    s3.copy_object(Bucket=bucket, Key="c", CopySource={"Bucket": bucket, "Key": "a"})
    s3.put_object(Bucket=bucket, Key="b", Body=b"new")
    s3.delete_object(Bucket=bucket, Key="a")
    assert read(s3, bucket, "b") == b"new"
    assert read(s3, bucket, "c") == b"content"
    assert s3.head_object(Bucket=bucket, Key="c")["Metadata"] == {"k": "v"}
    assert s3.get_object_tagging(Bucket=bucket, Key="c")["TagSet"] == [{"Key": "t", "Value": "1"}]


def test_content_files_go_when_objects_go(local_aws: LocalAwsProcess, s3: Any, bucket: str) -> None:
    """Overwritten, deleted, refused: none leaves its content on the disk."""
    before = content_files(local_aws.data_dir)
    for number in range(3):
        s3.put_object(Bucket=bucket, Key="x", Body=str(number))
    with pytest.raises(ClientError):
        s3.put_object(Bucket=f"{bucket}-not-there", Key="x", Body=b"lost")
    assert content_files(local_aws.data_dir) == before + 1
    s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "x"}]})
    assert content_files(local_aws.data_dir) == before


def test_versions(s3: Any, bucket: str) -> None:
    """Each version has its content; a delete marker hides them; deleting a version removes it for good."""
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    first = s3.put_object(Bucket=bucket, Key="x", Body=b"1")["VersionId"]
    second = s3.put_object(Bucket=bucket, Key="x", Body=b"2")["VersionId"]
    s3.delete_object(Bucket=bucket, Key="x")
    with pytest.raises(ClientError):
        s3.get_object(Bucket=bucket, Key="x")
    assert read(s3, bucket, "x", VersionId=first) == b"1"
    s3.delete_object(Bucket=bucket, Key="x", VersionId=first)
    listed = s3.list_object_versions(Bucket=bucket)
    assert [version["VersionId"] for version in listed["Versions"]] == [second]
    assert len(listed["DeleteMarkers"]) == 1
    assert read(s3, bucket, "x", VersionId=second) == b"2"


# --- multipart --------------------------------------------------------------------------------------------------------
def upload_in_parts(s3: Any, bucket: str, key: str, parts: list[bytes], **options: Any) -> Any:
    upload = s3.create_multipart_upload(Bucket=bucket, Key=key, **options)["UploadId"]
    sent = []
    for number, body in enumerate(parts, 1):
        answer = s3.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=number, Body=body)
        sent.append({"PartNumber": number, "ETag": answer["ETag"]})
    return s3.complete_multipart_upload(Bucket=bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": sent})


def test_an_upload_in_parts(local_aws: LocalAwsProcess, s3: Any, bucket: str) -> None:
    """The whole is the parts in order, with the ETag that S3 makes of theirs; the parts' files are gone."""
    before = content_files(local_aws.data_dir)
    parts = [os.urandom(PART), os.urandom(PART), b"end"]
    answer = upload_in_parts(s3, bucket, "x", parts, ChecksumAlgorithm="CRC32", Metadata={"k": "v"})
    md5s = b"".join(hashlib.md5(part).digest() for part in parts)
    assert answer["ETag"] == f'"{hashlib.md5(md5s).hexdigest()}-3"'
    assert read(s3, bucket, "x") == b"".join(parts)
    assert s3.head_object(Bucket=bucket, Key="x")["Metadata"] == {"k": "v"}
    assert content_files(local_aws.data_dir) == before + 1


def test_an_aborted_upload_leaves_nothing(local_aws: LocalAwsProcess, s3: Any, bucket: str) -> None:
    before = content_files(local_aws.data_dir)
    upload = s3.create_multipart_upload(Bucket=bucket, Key="x")["UploadId"]
    s3.upload_part(Bucket=bucket, Key="x", UploadId=upload, PartNumber=1, Body=b"part")
    s3.abort_multipart_upload(Bucket=bucket, Key="x", UploadId=upload)
    assert content_files(local_aws.data_dir) == before
    with pytest.raises(ClientError) as gone:
        s3.upload_part(Bucket=bucket, Key="x", UploadId=upload, PartNumber=2, Body=b"part")
    assert code(gone) == "NoSuchUpload"


def test_wrong_parts_are_refused(s3: Any, bucket: str) -> None:
    """A part that was never sent, and one that is too small to stand in the middle."""
    upload = s3.create_multipart_upload(Bucket=bucket, Key="x")["UploadId"]
    etags = [
        s3.upload_part(Bucket=bucket, Key="x", UploadId=upload, PartNumber=number, Body=b"small")["ETag"]
        for number in (1, 2)
    ]
    for parts, expected in (
        ([{"PartNumber": 3, "ETag": etags[0]}], "InvalidPart"),
        ([{"PartNumber": 1, "ETag": etags[0]}, {"PartNumber": 2, "ETag": etags[1]}], "EntityTooSmall"),
    ):
        with pytest.raises(ClientError) as refused:
            s3.complete_multipart_upload(Bucket=bucket, Key="x", UploadId=upload, MultipartUpload={"Parts": parts})
        assert code(refused) == expected


def test_parts_copied_from_an_object(s3: Any, bucket: str) -> None:
    """UploadPartCopy of ranges, as clients copy what is too big for one CopyObject."""
    body = os.urandom(PART + 7)
    s3.put_object(Bucket=bucket, Key="a", Body=body)
    config = TransferConfig(multipart_threshold=PART, multipart_chunksize=PART)
    s3.copy({"Bucket": bucket, "Key": "a"}, bucket, "b", Config=config)
    assert read(s3, bucket, "b") == body


@pytest.mark.long
@pytest.mark.load_dependent
def test_a_big_object_is_never_held_in_memory(local_aws: LocalAwsProcess, s3: Any, bucket: str, tmp_path: Path) -> None:
    """300 MB in one request, in parts, copied and back: the process grows by a fraction of that."""
    size = 300 * MB
    source = tmp_path / "big"
    with source.open("wb") as file:
        for number in range(300):
            file.write(bytes([number % 256]) * MB)
    s3.put_object(Bucket=bucket, Key="warm", Body=b"x" * MB)
    before = peak_memory_bytes(local_aws.pid)
    with source.open("rb") as file:
        s3.put_object(Bucket=bucket, Key="one", Body=file, ContentLength=size)
    s3.upload_file(str(source), bucket, "parts", Config=TransferConfig(max_concurrency=2))
    s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "parts"})
    for key in ("one", "parts", "copy"):
        s3.download_file(bucket, key, str(tmp_path / key), Config=TransferConfig(use_threads=False))
        assert (tmp_path / key).stat().st_size == size
    assert hashlib.md5((tmp_path / "copy").read_bytes()).digest() == hashlib.md5(source.read_bytes()).digest()
    assert peak_memory_bytes(local_aws.pid) - before < 64 * MB


def test_many_clients_at_once_lose_nothing(client: Callable[..., Any], bucket: str) -> None:
    """Eight threads, each with keys of its own and one that all of them write."""

    def work(worker: int) -> None:
        s3 = client("s3")
        for number in range(20):
            s3.put_object(Bucket=bucket, Key=f"{worker}/{number}", Body=f"{worker}-{number}")
            s3.put_object(Bucket=bucket, Key="shared", Body=f"{worker}-{number}")

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    s3 = client("s3")
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, PaginationConfig={"PageSize": 50})
    keys = {found["Key"] for page in pages for found in page["Contents"]}
    assert keys == {f"{worker}/{number}" for worker in range(8) for number in range(20)} | {"shared"}
    assert read(s3, bucket, "7/19") == b"7-19"
    assert read(s3, bucket, "shared").decode().endswith("-19")


def test_a_policy_that_denies_what_comes_without_tls_denies_nothing_here(s3: Any, bucket: str) -> None:
    """The endpoint is the machine's own; a statement without a condition is obeyed."""
    deny = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": f"arn:aws:s3:::{bucket}/*"}
    without_tls = deny | {"Condition": {"Bool": {"aws:SecureTransport": "false"}}}
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(without_tls))
    s3.put_object(Bucket=bucket, Key="x", Body=b"1")
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(without_tls, deny))
    with pytest.raises(ClientError) as denied:
        s3.get_object(Bucket=bucket, Key="x")
    assert denied.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def test_a_stream_of_unknown_length(s3: Any, bucket: str) -> None:
    """upload_fileobj of something that cannot be rewound: parts with a trailing checksum."""
    content = os.urandom(11 * MB + 1)
    reader, writer = os.pipe()

    def write() -> None:
        with os.fdopen(writer, "wb") as pipe:
            pipe.write(content)

    thread = threading.Thread(target=write)
    thread.start()
    with os.fdopen(reader, "rb") as pipe:
        s3.upload_fileobj(pipe, bucket, "x")
    thread.join()
    assert read(s3, bucket, "x") == content


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def content_files(data_dir: Path) -> int:
    return sum(1 for _ in (data_dir / "s3" / "content").glob("??/*"))


def peak_memory_bytes(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmHWM")


def wait_until(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
