"""Many executions and large objects at once: all end, none is lost, and the memory stays small."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3.s3.transfer
import pytest

if TYPE_CHECKING:
    from tests.contract.robustness.conftest import MeasuredAws

SYNC = "arn:aws:states:::sagemaker:createProcessingJob.sync"
EXECUTIONS, STAGES, MAX_JOBS = 50, 3, 2
MEMORY_LIMIT = 500 << 20
LARGE_BYTES = int(os.environ.get("STEPBRIDGE_LARGE_OBJECT_MB", "600")) << 20
DATA = "/opt/ml/processing/data"


def chain(aws: MeasuredAws, code: str) -> dict[str, Any]:
    """Three jobs, one after the other, named after the execution; each passes its name on through its environment."""
    states = {}
    for number in range(1, STAGES + 1):
        name = f"{{% $states.context.Execution.Name & '-{number}' %}}"
        state = {"Type": "Task", "Resource": SYNC, "Arguments": aws.job(name, code)}
        output = {"Output": {"name": "{% $states.result.ProcessingJobName %}"}}
        states[f"S{number}"] = state | output | ({"Next": f"S{number + 1}"} if number < STAGES else {"End": True})
    return states


@pytest.mark.long
@pytest.mark.timeout(600)
def test_fifty_executions_of_three_jobs_on_two_places(
    aws: MeasuredAws, left_running: Callable[[str], list[str]]
) -> None:
    """All succeed, every job ran once and is in the records, never more than two at a time, in under 500 MB."""
    mark = f"mark-{time.monotonic_ns()}"
    machine = aws.machine("chain", chain(aws, f"print('{mark}')"))
    sfn, sagemaker = aws.client("stepfunctions"), aws.client("sagemaker")
    begun = time.monotonic()
    with ThreadPoolExecutor(10) as pool:
        starts = pool.map(
            lambda number: sfn.start_execution(stateMachineArn=machine, name=f"e{number}"), range(EXECUTIONS)
        )
        arns = [answer["executionArn"] for answer in starts]

    def ended() -> int:
        return len(
            sfn.list_executions(stateMachineArn=machine, statusFilter="SUCCEEDED", maxResults=1000)["executions"]
        )

    aws.until(ended, lambda count: count == EXECUTIONS, within=500)
    seconds = time.monotonic() - begun
    assert len(set(arns)) == EXECUTIONS
    jobs = [
        job
        for page in sagemaker.get_paginator("list_processing_jobs").paginate()
        for job in page["ProcessingJobSummaries"]
    ]
    assert {job["ProcessingJobName"] for job in jobs} == {
        f"e{number}-{stage}" for number in range(EXECUTIONS) for stage in range(1, STAGES + 1)
    }
    assert {job["ProcessingJobStatus"] for job in jobs} == {"Completed"}
    assert most_at_once(sagemaker, jobs) <= MAX_JOBS
    assert left_running(mark) == []
    peak = aws.peak_memory()
    print(f"{len(jobs)} jobs in {seconds:.1f} s, {peak >> 20} MB at most")
    assert peak < MEMORY_LIMIT


def most_at_once(sagemaker: Any, jobs: list[dict[str, Any]]) -> int:
    """How many of the jobs overlapped in time, by their start and end times."""
    changes: list[tuple[Any, int]] = []
    for job in jobs:
        described = sagemaker.describe_processing_job(ProcessingJobName=job["ProcessingJobName"])
        # In one millisecond the end of one counts before the start of the next.
        changes += [(described["ProcessingStartTime"], 1), (described["ProcessingEndTime"], -1)]
    running = most = 0
    for _, change in sorted(changes):
        running += change
        most = max(most, running)
    return most


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_large_object_is_never_held_in_memory(aws: MeasuredAws, tmp_path: Path) -> None:
    """Up in parts at the same time, through a job as its input and output, and down again."""
    source, back = tmp_path / "source", tmp_path / "back"
    with source.open("wb") as file:
        file.truncate(LARGE_BYTES)  # sparse: it costs no disk here
        file.seek(LARGE_BYTES - 4)
        file.write(b"last")
    s3, sagemaker = aws.client("s3"), aws.client("sagemaker")
    s3.create_bucket(Bucket="large")
    transfer = boto3.s3.transfer.TransferConfig(max_concurrency=8)
    begun = time.monotonic()
    s3.upload_file(str(source), "large", "in/object", Config=transfer)
    uploaded = time.monotonic()
    code = f"import shutil; shutil.copyfile('{DATA}/in/object', '{DATA}/out/object')"
    place = {"S3Uri": "s3://large/in/", "LocalPath": f"{DATA}/in", "S3DataType": "S3Prefix", "S3InputMode": "File"}
    result = {"S3Uri": "s3://large/out/", "LocalPath": f"{DATA}/out", "S3UploadMode": "EndOfJob"}
    request = aws.job(
        "large",
        code,
        ProcessingInputs=[{"InputName": "in", "S3Input": place}],
        ProcessingOutputConfig={"Outputs": [{"OutputName": "out", "S3Output": result}]},
    )
    sagemaker.create_processing_job(**request)
    status = aws.until(lambda: aws.job_status("large"), lambda seen: seen != "InProgress", within=300)
    assert status == "Completed", sagemaker.describe_processing_job(ProcessingJobName="large")
    processed = time.monotonic()
    s3.download_file("large", "out/object", str(back), Config=transfer)
    downloaded = time.monotonic()
    assert back.stat().st_size == LARGE_BYTES
    with back.open("rb") as file:
        file.seek(-4, os.SEEK_END)
        assert file.read() == b"last"
    peak = aws.peak_memory()
    times = (uploaded - begun, processed - uploaded, downloaded - processed)
    print(f"{LARGE_BYTES >> 20} MB: up, job, down in {[round(one, 1) for one in times]} s; {peak >> 20} MB at most")
    assert peak < MEMORY_LIMIT
