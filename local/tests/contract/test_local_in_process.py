"""What the services of the local AWS reach in process: its S3, Logs, ECR and SQS, seen by real clients as well.

Each test is a function that starts a local AWS in a child process, where moto's state belongs to it alone.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from botocore.exceptions import ClientError

from stepbridge_local.protocols import BuiltImage, Container, ContainerSpec, Scope, ServiceError
from stepbridge_local.testing import ACCOUNT, REGION, client_of, run_in_child

SCOPE = Scope(ACCOUNT, REGION)
REPOSITORY = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/models"
PREBUILT = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"


class CountingRuntime:
    """A container runtime whose images are made up: these tests run no container."""

    name = "counting"

    def __init__(self) -> None:
        self.builds = 0

    def build(
        self,
        context: Path,
        dockerfile: str,
        build_args: Mapping[str, str],  # noqa: ARG002
        log: Callable[[str], None],
    ) -> BuiltImage:
        self.builds += 1
        log(f"building {context / dockerfile}")
        return image(f"build {self.builds}")

    def start(self, spec: ContainerSpec, on_line: Callable[[str], None]) -> Container:
        raise NotImplementedError

    def close(self) -> None:
        pass


@contextmanager
def started(data_dir: Path, runtime: Any = None) -> Iterator[Any]:
    from stepbridge_local.server import LocalAws
    from stepbridge_local.settings import LocalAwsSettings

    local_aws = LocalAws(LocalAwsSettings(data_dir, port=0), runtime or CountingRuntime())
    local_aws.start()
    try:
        yield local_aws
    finally:
        local_aws.stop()


def image(text: str, **config: Any) -> BuiltImage:
    return BuiltImage("sha256:" + hashlib.sha256(text.encode()).hexdigest(), 12345, config)


def error_code(call: Callable[..., Any], *arguments: Any) -> str:
    with pytest.raises(ServiceError) as error:
        call(*arguments)
    return error.value.code


# --- S3 ---------------------------------------------------------------------------------------------------------------
def use_store(data_dir: Path) -> None:
    with started(data_dir) as local_aws:
        store = local_aws.services.store
        s3 = client_of(local_aws.endpoint_url, "s3")
        s3.create_bucket(Bucket="bbb")
        for key in ("a/2", "a/1", "b", "a/gone"):
            s3.put_object(Bucket="bbb", Key=key, Body=key.encode())
        s3.delete_object(Bucket="bbb", Key="a/gone")
        found = list(store.list_objects(SCOPE, "bbb", "a/"))
        assert [(item.key, item.size_bytes) for item in found] == [("a/1", 3), ("a/2", 3)]
        assert found[0].etag == hashlib.md5(b"a/1").hexdigest()
        assert found[0].last_modified == s3.head_object(Bucket="bbb", Key="a/1")["LastModified"].replace(
            microsecond=found[0].last_modified.microsecond
        )

        copy = data_dir / "copy"
        store.download(SCOPE, "bbb", "a/1", copy)
        assert copy.read_bytes() == b"a/1"
        copy.write_bytes(b"scribbled over")
        assert s3.get_object(Bucket="bbb", Key="a/1")["Body"].read() == b"a/1"

        assert b"".join(store.read(SCOPE, "bbb", "a/1")) == b"a/1"
        assert error_code(store.read, SCOPE, "bbb", "a/gone") == "NoSuchKey"

        store.upload(SCOPE, copy, "bbb", "up/ü")
        copy.write_bytes(b"later")
        head = s3.head_object(Bucket="bbb", Key="up/ü")
        assert head["ETag"] == f'"{hashlib.md5(b"scribbled over").hexdigest()}"'

        assert error_code(store.download, SCOPE, "bbb", "a/gone", copy) == "NoSuchKey"
        assert error_code(store.upload, SCOPE, copy, "nowhere", "x") == "NoSuchBucket"
        assert error_code(lambda: list(store.list_objects(SCOPE, "nowhere", ""))) == "NoSuchBucket"


def test_the_object_store_is_the_clients_s3(tmp_path: Path) -> None:
    """Each sees what the other wrote; a downloaded file is the reader's own; faults have AWS's names."""
    run_in_child(use_store, tmp_path)


# --- Logs -------------------------------------------------------------------------------------------------------------
def write_logs(data_dir: Path) -> None:
    with started(data_dir) as local_aws:
        sink = local_aws.services.logs
        logs = client_of(local_aws.endpoint_url, "logs")

        def write(stream: str) -> None:
            for number in range(0, 200, 2):
                sink.write(SCOPE, "/group", stream, [f"{stream} {number}", f"{stream} {number + 1}"])

        threads = [threading.Thread(target=write, args=(f"job/{number}",)) for number in range(6)]
        threads += [threading.Thread(target=write, args=("shared",)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        streams = logs.describe_log_streams(logGroupName="/group")["logStreams"]
        assert sorted(stream["logStreamName"] for stream in streams) == [*(f"job/{n}" for n in range(6)), "shared"]
        for number in range(6):
            assert read_stream(logs, f"job/{number}") == [f"job/{number} {line}" for line in range(200)]
        assert len(read_stream(logs, "shared")) == 600
        matched = logs.filter_log_events(logGroupName="/group", filterPattern='"job/3 17"')["events"]
        assert {event["message"] for event in matched} == {"job/3 17", *(f"job/3 17{n}" for n in range(10))}
        by_stream = logs.filter_log_events(logGroupName="/group", logStreamNamePrefix="job/2", limit=1000)["events"]
        assert [event["message"] for event in by_stream] == [f"job/2 {line}" for line in range(200)]
        none = logs.filter_log_events(logGroupName="/group", logStreamNamePrefix="other")["events"]
        assert none == []


def read_stream(logs: Any, stream: str) -> list[str]:
    messages: list[str] = []
    options: dict[str, Any] = {"logGroupName": "/group", "logStreamName": stream, "startFromHead": True, "limit": 70}
    while True:
        answer = logs.get_log_events(**options)
        if answer["nextForwardToken"] == options.get("nextToken"):
            return messages
        messages += [event["message"] for event in answer["events"]]
        options["nextToken"] = answer["nextForwardToken"]


def test_no_line_is_lost_and_each_stream_is_in_order(tmp_path: Path) -> None:
    """Nine writers at once, three of them into one stream, read page by page and by pattern."""
    run_in_child(write_logs, tmp_path)


# --- ECR --------------------------------------------------------------------------------------------------------------
def push_images(data_dir: Path) -> None:
    with started(data_dir) as local_aws:
        registry = local_aws.services.registry
        ecr = client_of(local_aws.endpoint_url, "ecr")
        assert error_code(registry.push, f"{REPOSITORY}:t", image("a")) == "RepositoryNotFoundException"
        ecr.create_repository(repositoryName="models", imageTagMutability="IMMUTABLE")

        built = image("a", Labels={"model": "m"}, Env=["A=1"])
        digest = registry.push(f"{REPOSITORY}:one", built)
        (details,) = ecr.describe_images(repositoryName="models")["imageDetails"]
        assert (details["imageDigest"], details["imageTags"]) == (digest, ["one"])
        assert details["imageSizeInBytes"] == 12345
        (found,) = ecr.batch_get_image(repositoryName="models", imageIds=[{"imageDigest": digest}])["images"]
        assert "sha256:" + hashlib.sha256(found["imageManifest"].encode()).hexdigest() == digest
        manifest = json.loads(found["imageManifest"])
        assert manifest["config"]["digest"] == built.image_id
        assert manifest["annotations"] == {"model": "m"}
        assert ecr.list_images(repositoryName="models")["imageIds"] == [{"imageDigest": digest, "imageTag": "one"}]

        assert registry.push(f"{REPOSITORY}:one", built) == digest
        assert error_code(registry.push, f"{REPOSITORY}:one", image("b")) == "ImageTagAlreadyExistsException"
        assert registry.push(f"{REPOSITORY}:two", built) == digest
        assert ecr.describe_images(repositoryName="models")["imageDetails"][0]["imageTags"] == ["one", "two"]
        for uri in (f"{REPOSITORY}:one", f"{REPOSITORY}@{digest}", f"{REPOSITORY}:two@{digest}"):
            assert registry.resolve(uri) == built.image_id
        assert error_code(registry.resolve, f"{REPOSITORY}:three") == "ImageNotFoundException"
        assert error_code(registry.resolve, REPOSITORY) == "ImageNotFoundException"  # no tag: latest
        elsewhere = REPOSITORY.replace(REGION, "eu-west-1")
        assert error_code(registry.resolve, f"{elsewhere}:one") == "RepositoryNotFoundException"
        assert error_code(registry.resolve, "python:3.11") == "InvalidParameterException"

        missing = "sha256:" + "0" * 64
        answer = ecr.batch_get_image(repositoryName="models", imageIds=[{"imageTag": "one"}, {"imageDigest": missing}])
        assert [failure["imageId"] for failure in answer["failures"]] == [{"imageDigest": missing}]
        ecr.batch_delete_image(repositoryName="models", imageIds=[{"imageDigest": digest}])
        assert error_code(registry.resolve, f"{REPOSITORY}:one") == "ImageNotFoundException"
        with pytest.raises(ClientError):
            ecr.describe_images(repositoryName="models", imageIds=[{"imageTag": "one"}])


def test_a_pushed_image_is_what_ecr_describes(tmp_path: Path) -> None:
    """Digest of the manifest, tags, size, labels; immutable tags hold; found by tag and by digest, where it is."""
    run_in_child(push_images, tmp_path)


def push_and_overwrite(data_dir: Path) -> None:
    with started(data_dir) as local_aws:
        registry = local_aws.services.registry
        client_of(local_aws.endpoint_url, "ecr", region_name="eu-west-1").create_repository(repositoryName="models")
        uri = f"{REPOSITORY.replace(REGION, 'eu-west-1')}:latest"
        first = registry.push(uri, image("a"))
        registry.push(uri, image("b"))
        assert registry.resolve(uri) == image("b").image_id
        assert error_code(registry.resolve, uri.replace(":latest", f"@{first}")) == "ImageNotFoundException"


def test_a_mutable_tag_moves(tmp_path: Path) -> None:
    """And what it named before is gone, as nothing names it any more."""
    run_in_child(push_and_overwrite, tmp_path)


def resolve_prebuilt(data_dir: Path) -> None:
    runtime = CountingRuntime()
    with started(data_dir, runtime) as local_aws:
        registry = local_aws.services.registry
        found: list[str] = []
        uris = [PREBUILT, PREBUILT.replace("us-east-1", "eu-west-1").replace("683313688378", "141502667606")] * 4
        threads = [threading.Thread(target=lambda uri=uri: found.append(registry.resolve(uri))) for uri in uris]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert runtime.builds == 1
        assert set(found) == {image("build 1").image_id}
        assert len(found) == len(uris)


def test_the_prebuilt_image_is_built_once_for_all(tmp_path: Path) -> None:
    """Any account, region and version stands for one image, built by the first of many that ask at once."""
    run_in_child(resolve_prebuilt, tmp_path)


# --- SQS --------------------------------------------------------------------------------------------------------------
def receive_past_an_expired_message(data_dir: Path) -> None:
    with started(data_dir) as local_aws:
        from moto.sqs.models import sqs_backends

        sqs = client_of(local_aws.endpoint_url, "sqs")
        url = sqs.create_queue(QueueName="forgets", Attributes={"MessageRetentionPeriod": "60"})["QueueUrl"]
        sqs.send_message(QueueUrl=url, MessageBody="old")
        (old,) = sqs_backends[ACCOUNT][REGION].queues["forgets"]._messages
        old.sent_timestamp -= 61_000
        sqs.send_message(QueueUrl=url, MessageBody="new")
        answer = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=20, MaxNumberOfMessages=10)
        assert [message["Body"] for message in answer["Messages"]] == ["new"]
        attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessagesNotVisible"])
        assert attributes["Attributes"]["ApproximateNumberOfMessagesNotVisible"] == "1"


def test_a_message_expires_at_the_end_of_its_retention(tmp_path: Path) -> None:
    """And does not keep those behind it from being received."""
    run_in_child(receive_past_an_expired_message, tmp_path)


def start_twice(data_dir: Path) -> str:
    with started(data_dir / "one"), pytest.raises(RuntimeError) as refused, started(data_dir / "two"):
        pass
    assert not (data_dir / "two" / "endpoint.json").exists()
    return str(refused.value)


def test_one_process_is_one_local_aws(tmp_path: Path) -> None:
    """moto's state is global: a second one in the process would share it, so it is refused and leaves no address."""
    assert "one process" in run_in_child(start_twice, tmp_path)


# --- SQS --------------------------------------------------------------------------------------------------------------
def outlive_a_retention(data_dir: Path) -> None:
    from moto.core import utils

    now = utils.unix_time_millis
    with started(data_dir) as local_aws:
        sqs = client_of(local_aws.endpoint_url, "sqs")
        url = sqs.create_queue(QueueName="forgets", Attributes={"MessageRetentionPeriod": "60"})["QueueUrl"]
        sqs.send_message(QueueUrl=url, MessageBody="old")
        with (
            patch("moto.core.utils.unix_time_millis", lambda *arguments: now(*arguments) + 61_000),
            patch("moto.sqs.models.unix_time_millis", lambda *arguments: now(*arguments) + 61_000),
        ):
            sqs.send_message(QueueUrl=url, MessageBody="new")
            answer = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=20, MaxNumberOfMessages=10)
            assert [message["Body"] for message in answer["Messages"]] == ["new"]
            invisible = "ApproximateNumberOfMessagesNotVisible"
            attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[invisible])["Attributes"]
            assert attributes[invisible] == "1"


def test_a_message_vanishes_at_the_end_of_its_retention(tmp_path: Path) -> None:
    """And keeps none behind it from being received. The clock is set forward by a minute, SQS's shortest retention."""
    run_in_child(outlive_a_retention, tmp_path)
