"""boto3 as it is installed: waiters, transfers, presigned addresses, tokens and builds."""

from __future__ import annotations

import base64
import hashlib
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import WaiterError

from .conftest import Site

MEGABYTE = 1024 * 1024
FAST = {"Delay": 1, "MaxAttempts": 60}


# --- waiters ----------------------------------------------------------------------------------------------------------
def test_the_waiter_returns_for_a_completed_job(site: Site) -> None:
    """``processing_job_completed_or_stopped`` returns once the job has written its output."""
    name = site.with_input("waited")
    sagemaker = site.client("sagemaker")
    sagemaker.create_processing_job(**site.job(name, "and", "more", SUFFIX="!"))
    sagemaker.get_waiter("processing_job_completed_or_stopped").wait(ProcessingJobName=name, WaiterConfig=FAST)
    assert site.text(f"out/{name}/day.txt") == "HELLO and more!"


def test_the_waiter_returns_for_a_stopped_job(site: Site) -> None:
    """It takes Stopped for an end too, as its name says."""
    name = site.with_input("halted")
    sagemaker = site.client("sagemaker")
    sagemaker.create_processing_job(**site.job(name, SECONDS="60"))
    sagemaker.stop_processing_job(ProcessingJobName=name)
    sagemaker.get_waiter("processing_job_completed_or_stopped").wait(ProcessingJobName=name, WaiterConfig=FAST)
    assert sagemaker.describe_processing_job(ProcessingJobName=name)["ProcessingJobStatus"] == "Stopped"


def test_the_waiter_raises_for_a_failed_job(site: Site) -> None:
    """A failed job is a terminal failure, with the job's description in the error."""
    name = site.with_input("failed")
    sagemaker = site.client("sagemaker")
    sagemaker.create_processing_job(**site.job(name, "fail"))
    with pytest.raises(WaiterError, match="terminal failure") as raised:
        sagemaker.get_waiter("processing_job_completed_or_stopped").wait(ProcessingJobName=name, WaiterConfig=FAST)
    job: dict[str, Any] = dict(raised.value.last_response)
    assert job["ExitMessage"] == "told to fail"
    assert job["FailureReason"].startswith("AlgorithmError")


def test_the_waiter_raises_for_a_job_that_does_not_exist(site: Site) -> None:
    """AWS answers ValidationException, which the waiter takes for a failure."""
    with pytest.raises(WaiterError) as raised:
        site.client("sagemaker").get_waiter("processing_job_completed_or_stopped").wait(
            ProcessingJobName="never-made", WaiterConfig=FAST
        )
    assert raised.value.last_response["Error"]["Code"] == "ValidationException"


def test_the_waiters_of_s3_know_what_is_there(site: Site) -> None:
    """``bucket_exists``, ``object_exists`` and ``object_not_exists`` end at once."""
    s3 = site.client("s3")
    site.put("waiters/there", "x")
    s3.get_waiter("bucket_exists").wait(Bucket=site.bucket, WaiterConfig=FAST)
    s3.get_waiter("object_exists").wait(Bucket=site.bucket, Key="waiters/there", WaiterConfig=FAST)
    s3.get_waiter("object_not_exists").wait(Bucket=site.bucket, Key="waiters/elsewhere", WaiterConfig=FAST)
    with pytest.raises(WaiterError):
        s3.get_waiter("object_exists").wait(
            Bucket=site.bucket, Key="waiters/elsewhere", WaiterConfig={"Delay": 0, "MaxAttempts": 1}
        )


# --- s3transfer -------------------------------------------------------------------------------------------------------
@pytest.fixture
def big_file(tmp_path: Path) -> Path:
    """Twenty and a half megabytes that compress to nothing else."""
    path = tmp_path / "big.bin"
    block = hashlib.sha512(b"stepbridge").digest() * (MEGABYTE // 64)
    with path.open("wb") as file:
        for number in range(20):
            file.write(number.to_bytes(4, "big") + block[4:])
        file.write(block[: MEGABYTE // 2])
    return path


def test_a_big_file_goes_up_in_parts_and_comes_down_in_ranges(site: Site, big_file: Path, tmp_path: Path) -> None:
    """``upload_file`` and ``download_file`` of more than 16 MB, with s3transfer's own threads and part size."""
    s3 = site.client("s3")
    seen: list[int] = []
    extra = {"Metadata": {"made_by": "test"}, "ContentType": "application/x-test"}
    s3.upload_file(str(big_file), site.bucket, "big/up.bin", ExtraArgs=extra, Callback=seen.append)
    head = s3.head_object(Bucket=site.bucket, Key="big/up.bin")
    assert sum(seen) == head["ContentLength"] == big_file.stat().st_size
    assert head["ETag"].endswith('-3"')  # parts of 8 MB
    assert head["Metadata"] == {"made_by": "test"}
    assert head["ContentType"] == "application/x-test"
    s3.download_file(site.bucket, "big/up.bin", str(tmp_path / "down.bin"))
    assert (tmp_path / "down.bin").read_bytes() == big_file.read_bytes()


def test_a_big_object_is_copied_in_parts(site: Site, big_file: Path, tmp_path: Path) -> None:
    """``copy`` uses UploadPartCopy with ranges of the source."""
    s3 = site.client("s3")
    with big_file.open("rb") as file:
        s3.upload_fileobj(file, site.bucket, "big/source.bin")
    small_parts = TransferConfig(multipart_threshold=6 * MEGABYTE, multipart_chunksize=6 * MEGABYTE)
    s3.copy({"Bucket": site.bucket, "Key": "big/source.bin"}, site.bucket, "big/copy.bin", Config=small_parts)
    assert s3.head_object(Bucket=site.bucket, Key="big/copy.bin")["ETag"].endswith('-4"')
    with (tmp_path / "copy.bin").open("wb") as file:
        s3.download_fileobj(site.bucket, "big/copy.bin", file)
    assert (tmp_path / "copy.bin").read_bytes() == big_file.read_bytes()


# --- presigned addresses ----------------------------------------------------------------------------------------------
def _fetch(request: urllib.request.Request | str) -> bytes:
    with urllib.request.urlopen(request, timeout=10) as answer:
        content: bytes = answer.read()
        return content


@pytest.mark.parametrize("version", ["s3", "s3v4"])
def test_a_presigned_address_gets_and_puts(site: Site, version: str) -> None:
    """Anybody who has the address reads or writes that object without keys, with either kind of signature."""
    s3 = site.client("s3", config=Config(signature_version=version))
    where = {"Bucket": site.bucket, "Key": f"presigned/{version} ü.txt"}
    put = urllib.request.Request(s3.generate_presigned_url("put_object", where), data=b"by address", method="PUT")
    _fetch(put)
    assert site.text(where["Key"]) == "by address"
    assert _fetch(s3.generate_presigned_url("get_object", where)) == b"by address"


def test_a_presigned_address_expires(site: Site) -> None:
    """Past its time it answers 403 AccessDenied, as S3 does, with either kind of signature."""
    site.put("presigned/short.txt", "x")
    where = {"Bucket": site.bucket, "Key": "presigned/short.txt"}
    clients = [site.client("s3", config=Config(signature_version=version)) for version in ("s3", "s3v4")]
    addresses = [client.generate_presigned_url("get_object", where, 1) for client in clients]
    time.sleep(2.1)  # its only unit is the second
    for address in addresses:
        with pytest.raises(urllib.error.HTTPError) as raised:
            _fetch(address)
        assert raised.value.code == 403
        assert b"<Code>AccessDenied</Code><Message>Request has expired</Message>" in raised.value.read()


def test_a_presigned_form_uploads(site: Site) -> None:
    """A browser's form with the fields of ``generate_presigned_post`` stores the file."""
    post = site.client("s3").generate_presigned_post(site.bucket, "presigned/form.txt")
    boundary = "----form"
    fields = "".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in post["fields"].items()
    )
    file = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\nby form\r\n--{boundary}--'
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    _fetch(urllib.request.Request(post["url"], data=(fields + file).encode(), headers=headers, method="POST"))
    assert site.text("presigned/form.txt") == "by form"


# --- ECR and CodeBuild ------------------------------------------------------------------------------------------------
def test_the_token_of_the_registry_is_good_for_twelve_hours(site: Site) -> None:
    """GetAuthorizationToken gives user AWS, a password, the registry's address and a time still to come."""
    (token,) = site.client("ecr").get_authorization_token()["authorizationData"]
    user, _, password = base64.b64decode(token["authorizationToken"]).decode().partition(":")
    assert user == "AWS"
    assert password
    assert token["proxyEndpoint"] == f"https://{site.image_uri.partition('/')[0]}"
    left = token["expiresAt"] - datetime.now(UTC)
    assert timedelta(hours=11) < left <= timedelta(hours=12, minutes=1)


def test_a_build_from_a_zip_pushes_an_image(site: Site) -> None:
    """The project of AWS's own Docker sample succeeds; its phases, its log and its image are there."""
    build = site.build
    assert build["buildStatus"] == "SUCCEEDED", _log(site, build)
    phases = [phase["phaseType"] for phase in build["phases"]]
    assert phases[:3] == ["SUBMITTED", "QUEUED", "PROVISIONING"]
    assert phases[-1] == "COMPLETED"
    assert "Logging in to Amazon ECR..." in _log(site, build)
    tags = {"repositoryName": "clients/tiny", "imageIds": [{"imageTag": "one"}]}
    (image,) = site.client("ecr").batch_get_image(**tags)["images"]
    assert image["imageId"]["imageDigest"].startswith("sha256:")


def _log(site: Site, build: dict[str, Any]) -> str:
    logs = build["logs"]
    pages = site.client("logs").get_paginator("filter_log_events")
    found = pages.paginate(logGroupName=logs["groupName"], logStreamNames=[logs["streamName"]])
    return "\n".join(event["message"] for page in found for event in page["events"])
