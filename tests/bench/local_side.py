"""The local AWS beside what it is made of or stands for: moto's own server, and the script run by hand."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Final

from tests.bench.figures import Spread, Table, interleaved
from tests.bench.servers import Server, client_of, local_aws, memory_mb, moto_server

__all__ = ["jobs", "memory", "storage"]

SMALL_OBJECTS: Final = 100
LARGE_BYTES: Final = 64 * 1024 * 1024
IDLE_SECONDS: Final = 2.0
JOB_SECONDS: Final = 60.0
IMAGE: Final = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
SCRIPT: Final = """import sys
from pathlib import Path

source, target = (Path(folder) for folder in sys.argv[1:])
for file in source.glob("*.txt"):
    (target / file.name).write_text(file.read_text().upper())
"""
Way = Callable[[], float]


def storage(folder: Path, runs: int) -> Table:
    """S3 throughput of the local AWS beside moto's server's, one client and one connection each, in turns."""
    with local_aws(folder / "local-aws") as ours, moto_server(folder / "moto") as moto:
        ways: dict[str, Way] = {}
        for name, server in (("local AWS", ours), ("moto server", moto)):
            client = client_of(server, "s3")
            client.create_bucket(Bucket="bench")
            ways[f"{name}: small objects written"] = partial(_timed, partial(_write_small, client))
            ways[f"{name}: small objects read"] = partial(_timed, partial(_read_small, client))
            ways[f"{name}: a large one written"] = partial(_timed, partial(_write_large, client))
            ways[f"{name}: a large one read"] = partial(_timed, partial(_read_large, client))
        spreads = interleaved(runs, ways)
    rows = []
    for kind in ("small objects written", "small objects read", "a large one written", "a large one read"):
        one, other = spreads[f"local AWS: {kind}"], spreads[f"moto server: {kind}"]
        rows.append([kind, _rate(kind, one), _rate(kind, other), f"{other.median / one.median:.2f}"])
    return Table(
        title="S3 of the local AWS and of moto's own server",
        columns=("what", "local AWS", "moto server", "local AWS is so many times as fast"),
        rows=rows,
        notes=[
            f"{SMALL_OBJECTS} objects of 1 KB one after the other; one of 64 MB in a request; medians of {runs} turns",
            "the local AWS keeps objects on disk and over a restart, moto in memory",
        ],
        values={name: vars(spread) for name, spread in spreads.items()},
    )


def _rate(kind: str, spread: Spread) -> str:
    if kind.startswith("small"):
        return f"{SMALL_OBJECTS / spread.median:.0f} a second"
    return f"{LARGE_BYTES / spread.median / 1e6:.0f} MB/s"


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _write_small(client: Any) -> None:
    for number in range(SMALL_OBJECTS):
        client.put_object(Bucket="bench", Key=f"small/{number}", Body=b"x" * 1024)


def _read_small(client: Any) -> None:
    for number in range(SMALL_OBJECTS):
        client.get_object(Bucket="bench", Key=f"small/{number}")["Body"].read()


def _write_large(client: Any) -> None:
    client.put_object(Bucket="bench", Key="large", Body=b"x" * LARGE_BYTES)


def _read_large(client: Any) -> None:
    client.get_object(Bucket="bench", Key="large")["Body"].read()


def memory(folder: Path) -> Table:
    """Resident memory of the servers when they have answered one request, and of a worker process per sensor."""
    with local_aws(folder / "local-aws") as ours, moto_server(folder / "moto") as moto:
        figures = {"local AWS": _idle(ours), "moto server": _idle(moto)}
    figures["a worker process with the provider's sensor"] = _of_process(
        "sensors.step_function", "StepFunctionExecutionSensor"
    )
    return Table(
        title="Resident memory at rest",
        columns=("process", "MB"),
        rows=[[name, f"{value:.0f}"] for name, value in figures.items()],
        notes=[
            "the worker process: Airflow's task runner, the sensor, its client, imported afresh; forked ones share some"
        ],
        values=figures,
    )


def _idle(server: Server) -> float:
    for service, operation in (("s3", "list_buckets"), ("stepfunctions", "list_state_machines")):
        getattr(client_of(server, service), operation)()
    time.sleep(IDLE_SECONDS)
    return memory_mb(server.pid)


def _of_process(module: str, name: str) -> float:
    """The memory of a process that is as far as a task of that class is before its first poke."""
    program = f"""
import os
import airflow.sdk.execution_time.task_runner
from airflow.providers.amazon.aws.{module} import {name}
from tests.bench.servers import memory_mb
{name}(task_id="wait", execution_arn="arn", region_name="us-east-1", aws_conn_id=None).hook.conn
print(memory_mb(os.getpid()))
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return float(ended.stdout.splitlines()[-1])


def jobs(folder: Path, runs: int) -> Table:
    """A Processing job of the local AWS from CreateProcessingJob to its end, beside its script by hand."""
    script, source, target = folder / "shout.py", folder / "in", folder / "out"
    for each in (source, target):
        each.mkdir(parents=True)
    script.write_text(SCRIPT)
    (source / "names.txt").write_text("ada, grace\n")
    with local_aws(folder / "local-aws") as server:
        s3, sagemaker, numbers = client_of(server, "s3"), client_of(server, "sagemaker"), count()
        s3.create_bucket(Bucket="bench")
        s3.upload_file(str(script), "bench", "code/shout.py")
        s3.upload_file(str(source / "names.txt"), "bench", "in/names.txt")
        by_hand = [sys.executable, str(script), str(source), str(target)]
        plain = {"PATH": os.environ["PATH"]}
        ways: dict[str, Way] = {
            "a Processing job": lambda: _timed(partial(_run_job, sagemaker, f"bench-{next(numbers)}")),
            "its script by hand": lambda: _timed(partial(subprocess.run, by_hand, check=True, env=plain)),
        }
        spreads = interleaved(runs, ways)
    overhead = spreads["a Processing job"].median - spreads["its script by hand"].median
    return Table(
        title="A Processing job on the local AWS",
        columns=("what", "seconds: median (least to most)"),
        rows=[*([name, spread.shown(3)] for name, spread in spreads.items()), ["overhead", f"{overhead:.3f}"]],
        notes=[f"process runtime; from CreateProcessingJob until DescribeProcessingJob says Completed; {runs} turns"],
        values={name: vars(spread) for name, spread in spreads.items()} | {"overhead_seconds": overhead},
    )


def _run_job(sagemaker: Any, name: str) -> None:
    where = {"data": "in", "code": "code"}
    folders = {"data": "/opt/ml/processing/input", "code": "/opt/ml/processing/code"}
    inputs = [
        {
            "InputName": kind,
            "S3Input": {
                "S3Uri": f"s3://bench/{where[kind]}/",
                "LocalPath": folders[kind],
                "S3DataType": "S3Prefix",
                "S3InputMode": "File",
            },
        }
        for kind in where
    ]
    output = {"S3Uri": f"s3://bench/out/{name}/", "LocalPath": "/opt/ml/processing/output", "S3UploadMode": "EndOfJob"}
    entrypoint = ["python3", "/opt/ml/processing/code/shout.py", folders["data"], output["LocalPath"]]
    sagemaker.create_processing_job(
        ProcessingJobName=name,
        RoleArn="arn:aws:iam::123456789012:role/bench",
        AppSpecification={"ImageUri": IMAGE, "ContainerEntrypoint": entrypoint},
        ProcessingResources={"ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1}},
        ProcessingInputs=inputs,
        ProcessingOutputConfig={"Outputs": [{"OutputName": "data", "S3Output": output}]},
    )
    deadline = time.monotonic() + JOB_SECONDS
    while (job := sagemaker.describe_processing_job(ProcessingJobName=name))["ProcessingJobStatus"] == "InProgress":
        if time.monotonic() > deadline:
            raise RuntimeError(f"{name} did not end in {JOB_SECONDS} s")
        time.sleep(0.01)
    if job["ProcessingJobStatus"] != "Completed":
        raise RuntimeError(f"{name}: {job['ProcessingJobStatus']}: {job.get('FailureReason')}")
