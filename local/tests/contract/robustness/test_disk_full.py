"""A local AWS whose data folder lies on a small disk: a file system in memory, in a mount namespace of its own."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError

from stepbridge_local.testing import client_of

DISK_BYTES = 48 * 1024 * 1024
IN_A_NAMESPACE = ["unshare", "--user", "--map-root-user", "--mount"]
ROLE = "arn:aws:iam::123456789012:role/any"
MIB = 1024 * 1024


def why_no_small_disk() -> str:
    """Empty where a user may mount a file system in memory."""
    command = [*IN_A_NAMESPACE, "mount", "-t", "tmpfs", "none", "/mnt"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stderr.strip() if done.returncode else ""


@dataclass
class SmallDisk:
    """``fill`` leaves no room on the disk, ``free`` takes that back."""

    endpoint_url: str
    folder: Path  # as this process sees it

    def client(self, service: str) -> Any:
        return client_of(self.endpoint_url, service)

    def fill(self) -> None:
        with (self.folder / "filling").open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(b"x" * MIB)

    def free(self) -> None:
        (self.folder / "filling").unlink()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    if reason := why_no_small_disk():
        pytest.skip(f"no small disk can be made here: {reason}")
    data = tmp_path / "disk" / "data"
    script = (
        f"mount -t tmpfs -o size={DISK_BYTES} none {tmp_path / 'disk'} && "
        f"exec {sys.executable} -m stepbridge_local.cli.main up --port 0 --data-dir {data}"
    )
    (tmp_path / "disk").mkdir()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen([*IN_A_NAMESPACE, "sh", "-c", script], stdout=log, stderr=log, env=environment)
    seen = Path(f"/proc/{process.pid}/root{data}")
    try:
        deadline = time.monotonic() + 120
        while not (seen / "endpoint.json").exists():
            assert process.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < deadline, (tmp_path / "log").read_text()
            time.sleep(0.05)
        yield SmallDisk(json.loads((seen / "endpoint.json").read_text())["url"], seen)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def code_of(call: Callable[..., Any], **members: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**members)
    assert "What is stored is sound" in str(caught.value)
    return str(caught.value.response["Error"]["Code"])


def test_a_full_disk_is_a_clean_refusal_and_all_goes_on_after_it(small_disk: SmallDisk) -> None:
    """Each call that would store something ends in an error of its service; reading and deleting go on."""
    s3, sagemaker, states = map(small_disk.client, ("s3", "sagemaker", "stepfunctions"))
    codebuild, logs = map(small_disk.client, ("codebuild", "logs"))
    s3.create_bucket(Bucket="bucket")
    s3.put_object(Bucket="bucket", Key="before", Body=b"sound")
    definition = json.dumps({"StartAt": "A", "States": {"A": {"Type": "Succeed"}}})
    machine = states.create_state_machine(name="m", definition=definition, roleArn=ROLE)["stateMachineArn"]
    codebuild.create_project(
        name="project",
        source={"type": "NO_SOURCE", "buildspec": "version: 0.2\nphases: {build: {commands: ['true']}}"},
        artifacts={"type": "NO_ARTIFACTS"},
        environment={"type": "LINUX_CONTAINER", "image": "x", "computeType": "BUILD_GENERAL1_SMALL"},
        serviceRole=ROLE,
    )
    logs.create_log_group(logGroupName="g")
    logs.create_log_stream(logGroupName="g", logStreamName="s")
    upload = {"Bucket": "bucket", "Key": "parts"}
    upload["UploadId"] = s3.create_multipart_upload(**upload)["UploadId"]
    part = s3.upload_part(**upload, PartNumber=1, Body=b"x")
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    job = {
        "ProcessingJobName": "j",
        "ProcessingResources": {
            "ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1}
        },
        "AppSpecification": {"ImageUri": "123456789012.dkr.ecr.us-east-1.amazonaws.com/none:1"},
        "RoleArn": ROLE,
    }
    event = {"timestamp": int(time.time() * 1000), "message": "m"}

    assert code_of(s3.put_object, Bucket="bucket", Key="large", Body=b"x" * DISK_BYTES) == "ServiceUnavailable"
    small_disk.fill()
    assert code_of(s3.put_object, Bucket="bucket", Key="small", Body=b"x") == "ServiceUnavailable"
    assert code_of(s3.upload_part, **upload, PartNumber=2, Body=b"x") == "ServiceUnavailable"
    assert code_of(s3.complete_multipart_upload, **upload, MultipartUpload=parts) == "ServiceUnavailable"
    copy = {"Bucket": "bucket", "Key": "copy", "CopySource": "bucket/before"}
    assert code_of(s3.copy_object, **copy) == "ServiceUnavailable"
    assert code_of(sagemaker.create_processing_job, **job) == "ResourceLimitExceeded"
    assert code_of(states.start_execution, stateMachineArn=machine, name="e") == "ExecutionLimitExceeded"
    assert code_of(codebuild.start_build, projectName="project") == "AccountLimitExceededException"
    put_events = {"logGroupName": "g", "logStreamName": "s", "logEvents": [event]}
    assert code_of(logs.put_log_events, **put_events) == "LimitExceededException"
    # Nothing was begun, and what was there can be read.
    assert [item["Key"] for item in s3.list_objects_v2(Bucket="bucket")["Contents"]] == ["before"]
    assert s3.get_object(Bucket="bucket", Key="before")["Body"].read() == b"sound"
    assert sagemaker.list_processing_jobs()["ProcessingJobSummaries"] == []
    assert states.list_executions(stateMachineArn=machine)["executions"] == []
    assert codebuild.list_builds()["ids"] == []

    small_disk.free()
    s3.put_object(Bucket="bucket", Key="small", Body=b"x")
    s3.complete_multipart_upload(**upload, MultipartUpload=parts)
    assert s3.get_object(Bucket="bucket", Key="parts")["Body"].read() == b"x"
    states.start_execution(stateMachineArn=machine, name="e")
    sagemaker.create_processing_job(**job)
    codebuild.start_build(projectName="project")
    logs.put_log_events(**put_events)
    s3.delete_object(Bucket="bucket", Key="before")


@pytest.mark.long
def test_an_upload_that_fills_the_disk_leaves_nothing(small_disk: SmallDisk) -> None:
    """Also one that does not say how long it is; deleting makes room where the disk is full of objects."""
    s3 = small_disk.client("s3")
    s3.create_bucket(Bucket="bucket")

    parts = urlsplit(small_disk.endpoint_url)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=60)
    scope = "local/20260101/us-east-1/s3/aws4_request"
    headers = {
        "Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0",
        "Transfer-Encoding": "chunked",
    }
    blocks = itertools.repeat(b"x" * MIB, 2 * DISK_BYTES // MIB)
    connection.request("PUT", "/bucket/endless", body=blocks, headers=headers, encode_chunked=True)
    answer = connection.getresponse()
    assert (answer.status, b"What is stored is sound" in answer.read()) == (503, True)
    assert "Contents" not in s3.list_objects_v2(Bucket="bucket")
    s3.put_object(Bucket="bucket", Key="fits", Body=b"x" * (DISK_BYTES // 2))
    s3.delete_object(Bucket="bucket", Key="fits")
    s3.put_object(Bucket="bucket", Key="again", Body=b"x" * (DISK_BYTES // 2))
