"""Pipe inputs and several instances, as containers see them."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from .processing_support import SCOPE, Aws, s3_input

Job = Callable[..., dict[str, Any]]


def instances(count: int) -> dict[str, Any]:
    return {"ClusterConfig": {"InstanceCount": count, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1}}


def test_a_pipe_is_read_epoch_after_epoch(aws: Aws, job: Job) -> None:
    """The layout of a Processing job on AWS: FIFOs and a manifest in the LocalPath; no object as a file."""
    aws.store.objects["data"] |= {"in/b.csv": b"3\n" * 100_000, "in/folder/": b""}
    script = """
import json, os
root = "/opt/ml/processing/input"
seen = {"listing": sorted(os.listdir(root)), "manifest": open(root + "/data-manifest").read().splitlines()[1:]}
seen["first"] = open(root + "/data_0", "rb").read().decode()
seen["second"] = len(open(root + "/data_1", "rb").read())
json.dump(seen, open("/opt/ml/processing/output/seen", "w"))
"""
    given = s3_input("data", "s3://data/in/", S3InputMode="Pipe")
    described = aws.finished(job(script, ProcessingInputs=[given]))
    assert described["ProcessingJobStatus"] == "Completed", (described, aws.logs.lines)
    seen = json.loads(aws.output()["seen"])
    assert seen["listing"] == ["data-manifest", "data_0", "data_1"]
    assert seen["manifest"] == ["s3://data/in/a.csv", "s3://data/in/b.csv"]
    assert seen["first"] == "1\n2\n" + "3\n" * 100_000
    assert seen["second"] == 200_004


def test_gzip_is_decompressed_on_the_way(aws: Aws, job: Job) -> None:
    """Object by object, as one stream."""
    aws.store.objects["data"] = {"in/1.gz": gzip.compress(b"one,"), "in/2.gz": gzip.compress(b"two" * 50_000)}
    script = """
import shutil
with open("/opt/ml/processing/input/data_0", "rb") as fifo, open("/opt/ml/processing/output/all", "wb") as out:
    shutil.copyfileobj(fifo, out)
"""
    given = s3_input("data", "s3://data/in/", S3InputMode="Pipe", S3CompressionType="Gzip")
    aws.finished(job(script, ProcessingInputs=[given]))
    assert aws.output() == {"all": b"one," + b"two" * 50_000}


@pytest.mark.parametrize(
    "script",
    [
        "pass",
        "open('/opt/ml/processing/input/data_0', 'rb').read(3)",
        "import os; os.open('/opt/ml/processing/input/data_0', os.O_RDONLY | os.O_NONBLOCK)",
    ],
    ids=["never opened", "closed early", "opened and left"],
)
def test_whatever_becomes_of_a_pipe_the_job_ends(aws: Aws, job: Job, script: str) -> None:
    """No thread waits for a reader that never comes."""
    aws.store.objects["data"]["in/big"] = b"x" * 1_000_000
    given = s3_input("data", "s3://data/in/", S3InputMode="Pipe")
    assert aws.finished(job(script, ProcessingInputs=[given]))["ProcessingJobStatus"] == "Completed"


def test_a_job_that_reads_a_pipe_can_be_stopped(aws: Aws, job: Job) -> None:
    """Also one that has taken a part and waits."""
    aws.store.objects["data"]["in/big"] = b"x" * 1_000_000
    script = "f = open('/opt/ml/processing/input/data_0', 'rb'); f.read(9); print('ready'); import time; time.sleep(60)"
    service = aws.open()
    service.create(SCOPE, job(script, ProcessingInputs=[s3_input("data", "s3://data/in/", S3InputMode="Pipe")]))
    deadline = time.monotonic() + 60
    while not aws.logs.lines:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    service.stop(SCOPE, "job-1")
    assert service.wait(SCOPE, "job-1", 5)
    assert service.describe(SCOPE, "job-1")["ProcessingJobStatus"] == "Stopped"


def test_an_object_that_cannot_be_streamed_fails_the_job(aws: Aws, job: Job) -> None:
    """The script, which waits for the rest of its data, is stopped; the reason names input and object."""
    manifest = json.dumps([{"prefix": "s3://data/in/"}, "a.csv", "gone.csv"]).encode()
    aws.store.objects["data"]["m.json"] = manifest
    given = s3_input("data", "s3://data/m.json", S3DataType="ManifestFile", S3InputMode="Pipe")
    script = "open('/opt/ml/processing/input/data_0', 'rb').read(); print('all of it?')"
    described = aws.finished(job(script, ProcessingInputs=[given]))
    assert described["ProcessingJobStatus"] == "Failed"
    assert described["FailureReason"].startswith('ClientError: Data download failed: input "data": NoSuchKey')
    assert not [lines for lines in aws.logs.lines.values() if lines]


def test_each_instance_streams_its_share(aws: Aws, job: Job) -> None:
    """ShardedByS3Key with Pipe."""
    aws.store.objects["data"] = {f"in/{n}": str(n).encode() for n in range(5)}
    script = """
import json, shutil
host = json.load(open("/opt/ml/config/resourceconfig.json"))["current_host"]
data = open("/opt/ml/processing/input/data_0", "rb").read()
open(f"/opt/ml/processing/output/{host}", "wb").write(data)
"""
    given = s3_input("data", "s3://data/in/", S3InputMode="Pipe", S3DataDistributionType="ShardedByS3Key")
    aws.finished(job(script, ProcessingInputs=[given], ProcessingResources=instances(2)))
    assert aws.output() == {"algo-1": b"024", "algo-2": b"13"}


def test_instances_reach_each_other_by_name(aws: Aws, job: Job) -> None:
    """Each listens under its own name on the same port, and the others hear it."""
    script = """
import json, socket, time
resources = json.load(open("/opt/ml/config/resourceconfig.json"))
own, others = resources["current_host"], [h for h in resources["hosts"] if h != resources["current_host"]]
assert socket.gethostname() == own, socket.gethostname()
server = socket.create_server((own, 9099))
heard = {}
for other in others:
    deadline = time.monotonic() + 20
    while True:
        try:
            link = socket.create_connection((other, 9099), timeout=20)
            break
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    link.sendall(own.encode())
    link.close()
for _ in others:
    peer, _ = server.accept()
    name = peer.recv(100).decode()
    heard[name] = True
json.dump(sorted(heard), open(f"/opt/ml/processing/output/{own}", "w"))
"""
    described = aws.finished(job(script, ProcessingResources=instances(3)), 40)
    assert described["ProcessingJobStatus"] == "Completed", (described, aws.logs.lines)
    heard = {name: json.loads(content) for name, content in aws.output().items()}
    assert heard == {
        "algo-1": ["algo-2", "algo-3"],
        "algo-2": ["algo-1", "algo-3"],
        "algo-3": ["algo-1", "algo-2"],
    }


def test_an_isolated_container_reaches_itself_only(aws: Aws, job: Job) -> None:
    """No interface but its own loopback; what this machine listens on is out of reach."""
    import socket

    server = socket.create_server(("127.0.0.1", 0))
    port = server.getsockname()[1]
    script = f"""
import socket
print([name for _, name in socket.if_nameindex()])
try:
    socket.create_connection(("127.0.0.1", {port}), timeout=2)
    print("reached")
except OSError as error:
    print("not reached")
"""
    aws.finished(job(script, "open"))
    aws.finished(job(script, "closed", NetworkConfig={"EnableNetworkIsolation": True}))
    server.close()
    assert aws.log("closed/")[:2] == ["['lo']", "not reached"]
    if aws.runtime.name == "process":
        assert "reached" in aws.log("open/")


def test_the_first_of_the_instance_preferences_is_selected(aws: Aws, job: Job) -> None:
    """Described once the job runs, with its count of instances."""
    preferences = [
        {"InstanceType": "ml.m5.xlarge", "InstanceCount": 2},
        {"InstanceType": "ml.m5.large", "InstanceCount": 4},
    ]
    cluster = {"InstancePreferences": preferences, "VolumeSizeInGB": 1}
    described = aws.finished(job("pass", ProcessingResources={"ClusterConfig": cluster}))
    selected = described["ProcessingResources"]["ClusterConfig"]
    assert selected == cluster | {"SelectedInstanceType": "ml.m5.xlarge", "SelectedInstanceCount": 2}
    assert len(aws.runtime.started) == 2


def test_https_locations(aws: Aws, job: Job) -> None:
    """Both ways, for inputs and outputs."""
    given = s3_input("data", "https://data.s3.us-east-1.amazonaws.com/in/a.csv")
    output = {
        "OutputName": "o",
        "S3Output": {
            "S3Uri": "https://s3.amazonaws.com/data/out",
            "LocalPath": "/opt/ml/processing/input",
            "S3UploadMode": "EndOfJob",
        },
    }
    aws.finished(job("pass", ProcessingInputs=[given], ProcessingOutputConfig={"Outputs": [output]}))
    assert aws.output() == {"a.csv": b"1\n2\n"}
