"""One job through the whole local AWS: object in, image built and pushed, container, object and log out."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stepbridge_local.testing import ACCOUNT, REGION, client_of, run_in_child

ROLE = f"arn:aws:iam::{ACCOUNT}:role/processing"
IMAGE_URI = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/models:one"
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
DOCKERFILE = f"""\
FROM python:{PYTHON}
ENV GREETING=hello
WORKDIR /app
COPY run.py .
ENTRYPOINT ["python", "/app/run.py"]
"""
SCRIPT = """\
import os, pathlib, sys
ml = pathlib.Path("/opt/ml/processing")
text = (ml / "input" / "in.txt").read_text()
print(os.environ["GREETING"], "from", os.getcwd())
print("to stderr", file=sys.stderr)
if "fail" in text:
    pathlib.Path("/opt/ml/output/message").write_text("it was in the input")
    sys.exit(3)
(ml / "output" / "out.txt").write_text(text.upper() + os.environ["SUFFIX"])
"""


@contextmanager
def started(data_dir: Path) -> Iterator[Any]:
    from stepbridge_local.server import LocalAws
    from stepbridge_local.settings import LocalAwsSettings

    local_aws = LocalAws(LocalAwsSettings(data_dir / "data", port=0))
    local_aws.start()
    try:
        yield local_aws
    finally:
        local_aws.stop()


def build(data_dir: Path, runtime: Any) -> Any:
    context = data_dir / "context"
    context.mkdir()
    (context / "Dockerfile").write_text(DOCKERFILE)
    (context / "run.py").write_text(SCRIPT)
    return runtime.build(context, "Dockerfile", {}, print)


def job(name: str, bucket: str, prefix: str) -> dict[str, Any]:
    def s3(uri: str, path: str, **more: Any) -> dict[str, Any]:
        return {"S3Uri": uri, "LocalPath": f"/opt/ml/processing/{path}", **more}

    source = s3(f"s3://{bucket}/{prefix}/", "input", S3DataType="S3Prefix", S3InputMode="File")
    target = s3(f"s3://{bucket}/out/{name}/", "output", S3UploadMode="EndOfJob")
    return {
        "ProcessingJobName": name,
        "ProcessingResources": {
            "ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1}
        },
        "AppSpecification": {"ImageUri": IMAGE_URI},
        "Environment": {"SUFFIX": "!"},
        "ProcessingInputs": [{"InputName": "data", "S3Input": source}],
        "ProcessingOutputConfig": {"Outputs": [{"OutputName": "data", "S3Output": target}]},
        "RoleArn": ROLE,
    }


def finished(sagemaker: Any, name: str) -> dict[str, Any]:
    deadline = time.monotonic() + 60
    while True:
        described: dict[str, Any] = sagemaker.describe_processing_job(ProcessingJobName=name)
        if described["ProcessingJobStatus"] not in ("InProgress", "Stopping"):
            return described
        assert time.monotonic() < deadline, described
        time.sleep(0.05)


def log_lines(logs: Any, name: str) -> list[str]:
    events = logs.filter_log_events(logGroupName="/aws/sagemaker/ProcessingJobs", logStreamNamePrefix=f"{name}/")
    return [event["message"] for event in events["events"]]


def run_jobs(data_dir: Path) -> None:
    with started(data_dir) as local_aws:
        s3, ecr, sagemaker, logs = (
            client_of(local_aws.endpoint_url, service) for service in ("s3", "ecr", "sagemaker", "logs")
        )
        s3.create_bucket(Bucket="bbb")
        s3.put_object(Bucket="bbb", Key="good/in.txt", Body=b"some text")
        s3.put_object(Bucket="bbb", Key="bad/in.txt", Body=b"please fail")
        ecr.create_repository(repositoryName="models")
        local_aws.services.registry.push(IMAGE_URI, build(data_dir, local_aws.services.runtime))

        sagemaker.create_processing_job(**job("good", "bbb", "good"))
        sagemaker.create_processing_job(**job("bad", "bbb", "bad"))
        good, bad = finished(sagemaker, "good"), finished(sagemaker, "bad")
        assert good["ProcessingJobStatus"] == "Completed", (good, log_lines(logs, "good"))
        assert s3.get_object(Bucket="bbb", Key="out/good/out.txt")["Body"].read() == b"SOME TEXT!"
        assert sorted(log_lines(logs, "good")) == ["hello from /app", "to stderr"]
        assert good["ProcessingEndTime"] >= good["ProcessingStartTime"] >= good["CreationTime"]

        assert bad["ProcessingJobStatus"] == "Failed"
        assert bad["FailureReason"].startswith("AlgorithmError")
        assert bad["ExitMessage"] == "it was in the input"
        assert "Contents" not in s3.list_objects_v2(Bucket="bbb", Prefix="out/bad/")


def test_a_job_runs_in_an_image_that_was_built_and_pushed_here(tmp_path: Path) -> None:
    """Its output is in S3 and its lines are in its log; one that exits 3 fails with what it said and wrote."""
    run_in_child(run_jobs, tmp_path)


def run_after_restart(data_dir: Path) -> None:
    with started(data_dir) as local_aws:
        s3, sagemaker = (client_of(local_aws.endpoint_url, service) for service in ("s3", "sagemaker"))
        sagemaker.create_processing_job(**job("after", "bbb", "good"))
        assert finished(sagemaker, "after")["ProcessingJobStatus"] == "Completed"
        assert s3.get_object(Bucket="bbb", Key="out/after/out.txt")["Body"].read() == b"SOME TEXT!"
        assert sagemaker.describe_processing_job(ProcessingJobName="good")["ProcessingJobStatus"] == "Completed"


def test_images_and_jobs_are_there_after_a_restart(tmp_path: Path) -> None:
    """The pushed image runs again without being built again, on the object put before; old jobs are described."""
    run_in_child(run_jobs, tmp_path)
    run_in_child(run_after_restart, tmp_path)
