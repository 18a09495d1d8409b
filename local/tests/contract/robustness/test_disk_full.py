"""A local AWS whose data folder lies on a small disk: a file system in memory, in a mount namespace of its own."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import io
import itertools
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from botocore.exceptions import ClientError

from stepbridge_local.runtimes.docker.oci_registry import OciRegistry
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

    def fill(self, name: str = "filling") -> None:
        with (self.folder / name).open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(b"x" * MIB)

    def free(self, name: str = "filling") -> None:
        (self.folder / name).unlink()


@contextlib.contextmanager
def on_a_small_disk(folder: Path, program: list[str], ready: str) -> Iterator[Path]:
    """``program`` while it runs with a small disk at ``folder``/disk, and that disk as this process sees it.

    ``ready`` is a file there which the program makes once it answers.
    """
    if reason := why_no_small_disk():
        pytest.skip(f"no small disk can be made here: {reason}")
    disk, log_file = folder / "disk", folder / "log"
    script = f"mount -t tmpfs -o size={DISK_BYTES} none {disk} && exec {shlex.join(program)}"
    disk.mkdir()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    with log_file.open("w") as log:
        process = subprocess.Popen([*IN_A_NAMESPACE, "sh", "-c", script], stdout=log, stderr=log, env=environment)
    seen = Path(f"/proc/{process.pid}/root{disk}")
    try:
        deadline = time.monotonic() + 120
        while not (seen / ready).exists():
            assert process.poll() is None, log_file.read_text()
            assert time.monotonic() < deadline, log_file.read_text()
            time.sleep(0.05)
        yield seen
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    program = [sys.executable, "-m", "stepbridge_local.cli.main", "up", "--port", "0", "--data-dir"]
    with on_a_small_disk(tmp_path, [*program, str(tmp_path / "disk" / "data")], "data/endpoint.json") as disk:
        yield SmallDisk(json.loads((disk / "data" / "endpoint.json").read_text())["url"], disk / "data")


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
    s3.put_object(Bucket="bucket", Key="unneeded", Body=b"small")
    definition = json.dumps({"StartAt": "A", "States": {"A": {"Type": "Succeed"}}})
    machine = states.create_state_machine(name="m", definition=definition, roleArn=ROLE)["stateMachineArn"]
    definition = json.dumps({"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 9999, "End": True}}})
    waiting = states.create_state_machine(name="w", definition=definition, roleArn=ROLE)["stateMachineArn"]
    running = states.start_execution(stateMachineArn=waiting)["executionArn"]
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
    assert [item["Key"] for item in s3.list_objects_v2(Bucket="bucket")["Contents"]] == ["before", "unneeded"]
    assert s3.get_object(Bucket="bucket", Key="before")["Body"].read() == b"sound"
    assert sagemaker.list_processing_jobs()["ProcessingJobSummaries"] == []
    assert states.list_executions(stateMachineArn=machine)["executions"] == []
    assert codebuild.list_builds()["ids"] == []

    states.stop_execution(executionArn=running)
    s3.delete_object(Bucket="bucket", Key="unneeded")
    deadline = time.monotonic() + 60
    while (status := states.describe_execution(executionArn=running)["status"]) != "ABORTED":
        assert time.monotonic() < deadline, status
        time.sleep(0.05)
    assert [item["Key"] for item in s3.list_objects_v2(Bucket="bucket")["Contents"]] == ["before"]

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


def resources(**names: str) -> str:
    """A template with a bucket and a repository of each name."""
    made: dict[str, Any] = {}
    for key, name in names.items():
        made[f"{key}Bucket"] = {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": name}}
        made[f"{key}Repository"] = {"Type": "AWS::ECR::Repository", "Properties": {"RepositoryName": name}}
    return json.dumps({"Resources": made})


def test_on_a_full_disk_every_service_refuses_what_it_would_store(small_disk: SmallDisk) -> None:
    """Stacks, repositories, messages, rules, roles: nothing half made. A stack can be deleted to make room."""
    names = ("cloudformation", "ecr", "sqs", "sns", "events", "iam", "sts", "s3")
    stacks, ecr, sqs, sns, events, iam, sts, s3 = map(small_disk.client, names)
    trust = json.dumps({"Version": "2012-10-17", "Statement": []})
    statement = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    stacks.create_stack(StackName="kept", TemplateBody=resources(A="kept"))
    stacks.create_stack(StackName="unneeded", TemplateBody=resources(A="unneeded"))
    ecr.create_repository(repositoryName="repository")
    queue = sqs.create_queue(QueueName="queue")["QueueUrl"]
    sqs.send_message(QueueUrl=queue, MessageBody="before")
    topic = sns.create_topic(Name="topic")["TopicArn"]
    events.put_rule(Name="rule", EventPattern='{"source": ["x"]}')
    role = iam.create_role(RoleName="role", AssumeRolePolicyDocument=trust)["Role"]["Arn"]

    kind = "application/vnd.oci.image.manifest.v1+json"
    manifest = {"schemaVersion": 2, "mediaType": kind, "config": {"digest": "sha256:0"}, "layers": []}
    event = {"Source": "x", "DetailType": "d", "Detail": "{}"}
    target = {"Id": "1", "Arn": "arn:aws:sqs:us-east-1:123456789012:queue"}
    tag = {"Key": "k", "Value": "v"}
    change = {"StackName": "kept", "TemplateBody": resources(A="kept", B="changed")}
    change_set = {**change, "ChangeSetName": "change", "ChangeSetType": "UPDATE"}
    calls: list[tuple[str, Callable[..., Any], dict[str, Any]]] = [
        ("LimitExceededException", stacks.create_stack, {"StackName": "new", "TemplateBody": resources(A="new")}),
        ("LimitExceededException", stacks.update_stack, change),
        (
            "LimitExceededException",
            stacks.create_change_set,
            change_set,
        ),
        ("LimitExceededException", ecr.create_repository, {"repositoryName": "other"}),
        (
            "LimitExceededException",
            ecr.put_image,
            {"repositoryName": "repository", "imageManifest": json.dumps(manifest), "imageTag": "1"},
        ),
        ("LimitExceededException", ecr.put_image_tag_mutability, MUTABLE),
        ("ServiceUnavailable", sqs.create_queue, {"QueueName": "new"}),
        ("ServiceUnavailable", sqs.send_message, {"QueueUrl": queue, "MessageBody": "m"}),
        ("ServiceUnavailable", sqs.tag_queue, {"QueueUrl": queue, "Tags": {"k": "v"}}),
        ("ServiceUnavailable", sns.create_topic, {"Name": "new"}),
        ("ServiceUnavailable", sns.publish, {"TopicArn": topic, "Message": "m"}),
        ("ServiceUnavailable", sns.subscribe, {"TopicArn": topic, "Protocol": "sqs", "Endpoint": target["Arn"]}),
        ("LimitExceededException", events.put_rule, {"Name": "new", "EventPattern": '{"source": ["x"]}'}),
        ("LimitExceededException", events.put_targets, {"Rule": "rule", "Targets": [target]}),
        ("LimitExceededException", events.put_events, {"Entries": [event]}),
        ("LimitExceeded", iam.create_role, {"RoleName": "new", "AssumeRolePolicyDocument": trust}),
        (
            "LimitExceeded",
            iam.put_role_policy,
            {"RoleName": "role", "PolicyName": "new", "PolicyDocument": policy},
        ),
        ("LimitExceeded", iam.tag_role, {"RoleName": "role", "Tags": [tag]}),
    ]

    def state() -> list[Any]:
        stacks_now = {one["StackName"]: one["StackStatus"] for one in stacks.describe_stacks()["Stacks"]}
        return [
            stacks_now,
            [one["Name"] for one in s3.list_buckets()["Buckets"]],
            sorted(one["repositoryName"] for one in ecr.describe_repositories()["repositories"]),
            ecr.describe_images(repositoryName="repository")["imageDetails"],
            [
                sqs.list_queues()["QueueUrls"],
                sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])["Attributes"],
            ],
            [sns.list_topics()["Topics"], sns.list_subscriptions()["Subscriptions"]],
            [events.list_rules()["Rules"], events.list_targets_by_rule(Rule="rule")["Targets"]],
            [iam.list_roles()["Roles"], iam.list_role_policies(RoleName="role")["PolicyNames"]],
            iam.list_role_tags(RoleName="role")["Tags"],
        ]

    before = state()
    small_disk.fill()
    assert [code_of(call, **members) for _, call, members in calls] == [code for code, _, _ in calls]
    assert state() == before
    assert sts.get_caller_identity()["Account"] == "123456789012"
    assert sts.assume_role(RoleArn=role, RoleSessionName="session")["Credentials"]
    assert [one["Body"] for one in sqs.receive_message(QueueUrl=queue)["Messages"]] == ["before"]
    stacks.delete_stack(StackName="unneeded")
    assert [one["Name"] for one in s3.list_buckets()["Buckets"]] == ["kept"]

    small_disk.free()
    for _, call, members in calls:
        call(**members)
    assert sorted(one["Name"] for one in s3.list_buckets()["Buckets"]) == ["changed", "kept", "new"]


MUTABLE = {"repositoryName": "repository", "imageTagMutability": "MUTABLE"}
REPOSITORY = "123456789012.dkr.ecr.us-east-1.amazonaws.com/repository"
LOG_IN = "aws ecr get-login-password --region us-east-1 | docker login --username AWS --password-stdin "


@pytest.mark.long
def test_a_push_of_a_running_build_is_kept_whole_or_refused(small_disk: SmallDisk) -> None:
    """The disk gets full during the build. The first push still fits into the reserve; then there is none."""
    s3, ecr, codebuild, logs = map(small_disk.client, ("s3", "ecr", "codebuild", "logs"))
    s3.create_bucket(Bucket="bucket")
    s3.put_object(Bucket="bucket", Key="unneeded", Body=b"small")
    ecr.create_repository(repositoryName="repository")
    sources = io.BytesIO()
    with zipfile.ZipFile(sources, "w") as archive:
        archive.writestr("Dockerfile", "FROM python:3\nCOPY Dockerfile /file\n")
    s3.put_object(Bucket="bucket", Key="sources.zip", Body=sources.getvalue())
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(120)
        signal_of_the_test = f"bash -c 'exec 3<>/dev/tcp/127.0.0.1/{server.getsockname()[1]}; read -u 3 line'"
        commands = [
            LOG_IN + REPOSITORY.partition("/")[0],
            f"docker build --tag {REPOSITORY}:1 --tag {REPOSITORY}:2 .",
            signal_of_the_test,
            f"docker push {REPOSITORY}:1",
            signal_of_the_test,
            f"docker push {REPOSITORY}:2",
        ]
        codebuild.create_project(
            name="project",
            source={
                "type": "S3",
                "location": "bucket/sources.zip",
                "buildspec": json.dumps({"version": "0.2", "phases": {"build": {"commands": commands}}}),
            },
            artifacts={"type": "NO_ARTIFACTS"},
            environment={"type": "LINUX_CONTAINER", "image": "x", "computeType": "BUILD_GENERAL1_SMALL"},
            serviceRole=ROLE,
        )
        build_id = codebuild.start_build(projectName="project")["build"]["id"]
        first, _ = server.accept()
        small_disk.fill()
        first.sendall(b"go on\n")
        second, _ = server.accept()
        tags = [one["imageTags"] for one in ecr.describe_images(repositoryName="repository")["imageDetails"]]
        assert tags == [["1"]]
        assert not (small_disk.folder / "reserve").exists()
        small_disk.fill("filling too")
        second.sendall(b"go on\n")
    deadline = time.monotonic() + 120
    while not (build := codebuild.batch_get_builds(ids=[build_id])["builds"][0])["buildComplete"]:
        assert time.monotonic() < deadline, build
        time.sleep(0.05)
    place = {"logGroupName": build["logs"]["groupName"], "logStreamName": build["logs"]["streamName"]}
    lines = [event["message"] for event in logs.get_log_events(**place, startFromHead=True)["events"]]
    assert build["buildStatus"] == "FAILED"
    assert [line for line in lines if "LimitExceededException: " in line and "no space is left" in line], lines
    # The second tag is not there; reading and deleting go on without any room at all.
    tags = [one["imageTags"] for one in ecr.describe_images(repositoryName="repository")["imageDetails"]]
    assert tags == [["1"]]
    s3.delete_object(Bucket="bucket", Key="unneeded")
    assert [one["Key"] for one in s3.list_objects_v2(Bucket="bucket")["Contents"]] == ["sources.zip"]

    small_disk.free()
    small_disk.free("filling too")
    assert ecr.create_repository(repositoryName="again")
    assert (small_disk.folder / "reserve").stat().st_size >= 8 * MIB


@pytest.mark.long
def test_what_the_docker_runtimes_registry_cannot_store_is_no_image(tmp_path: Path) -> None:
    """``docker push``, blob by blob: errors while the disk is full; the same push succeeds when there is room."""
    if not (shutil.which("docker-registry") or shutil.which("registry")):
        pytest.skip("no OCI registry is installed (Debian's package docker-registry)")
    code = (
        "import sys, threading; from pathlib import Path\n"
        "from stepbridge_local.runtimes.docker.oci_registry import OciRegistry\n"
        "disk = Path(sys.argv[1]); registry = OciRegistry(disk / 'registry'); registry.start()\n"
        "(disk / 'new').write_text(registry.address); (disk / 'new').rename(disk / 'address')\n"
        "threading.Event().wait()"
    )
    with on_a_small_disk(tmp_path, [sys.executable, "-c", code, str(tmp_path / "disk")], "address") as disk:
        small_disk = SmallDisk(f"http://{(disk / 'address').read_text()}", disk)
        blob = b"x" * MIB
        digest = f"sha256:{hashlib.sha256(blob).hexdigest()}"
        kind = "application/vnd.oci.image.manifest.v1+json"
        layer = {"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest, "size": len(blob)}
        config = {**layer, "mediaType": "application/vnd.oci.image.config.v1+json"}
        manifest = json.dumps({"schemaVersion": 2, "mediaType": kind, "config": config, "layers": [layer]})

        with httpx.Client(base_url=f"{small_disk.endpoint_url}/v2/repository/", timeout=60) as client:

            def push_blob() -> int:
                begun = client.post("blobs/uploads/")
                if begun.status_code != 202:
                    return begun.status_code
                sent = client.patch(begun.headers["location"], content=blob)
                if sent.status_code != 202:
                    return sent.status_code
                return client.put(f"{sent.headers['location']}&digest={digest}").status_code

            def push_manifest() -> int:
                return client.put("manifests/1", content=manifest, headers={"Content-Type": kind}).status_code

            small_disk.fill()
            assert push_blob() >= 500
            assert client.head(f"blobs/{digest}").status_code == 404
            small_disk.free()
            assert push_blob() == 201
            small_disk.fill()
            assert push_manifest() >= 500
            assert client.get("manifests/1").status_code == 404
            assert client.get(f"blobs/{digest}").content == blob
            small_disk.free()
            OciRegistry(disk / "registry").remove_unfinished()  # as after each push that failed
            assert push_manifest() == 201
            assert client.get("manifests/1", headers={"Accept": kind}).text == manifest
