"""What the log of a real job says of the image that stands for the prebuilt scikit-learn image."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from stepbridge_local.testing import LocalAwsProcess

URI = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:{}-cpu-py3"
DOCKERFILE = """\
FROM python:3
LABEL stepbridge.scikit-learn-image="1.4-2"
LABEL stepbridge.packages="{packages}"
"""
REQUIREMENTS = "numpy==2.0.1\nscipy==1.14.0\n"
LogOf = Callable[[str], list[str]]


@pytest.fixture
def log_of(tmp_path: Path) -> Iterator[Callable[[str], LogOf]]:
    """``log_of(packages)(version)``: the log of a job on a stand-in for an image that has these packages."""
    started: list[LocalAwsProcess] = []

    def start(packages: str) -> LogOf:
        folder = tmp_path / f"stand-in-{len(started)}"
        (folder / "image").mkdir(parents=True)
        (folder / "image" / "Dockerfile").write_text(DOCKERFILE.format(packages=packages))
        (folder / "image" / "requirements.txt").write_text(REQUIREMENTS)
        local_aws = LocalAwsProcess(folder / "data", ("--scikit-learn", str(folder / "image")))
        local_aws.start()
        started.append(local_aws)
        return lambda version: log_of_job(local_aws, f"job-{version.replace('.', '-')}", URI.format(version))

    yield start
    for local_aws in started:
        local_aws.stop()


def log_of_job(local_aws: LocalAwsProcess, name: str, image_uri: str) -> list[str]:
    sagemaker, logs = local_aws.client("sagemaker"), local_aws.client("logs")
    sagemaker.create_processing_job(
        ProcessingJobName=name,
        ProcessingResources={"ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1}},
        AppSpecification={"ImageUri": image_uri, "ContainerEntrypoint": ["python", "-c", "print('from the script')"]},
        RoleArn="arn:aws:iam::123456789012:role/any",
    )
    deadline = time.monotonic() + 180
    job: dict[str, Any] = {}
    while job.get("ProcessingJobStatus") not in ("Completed", "Failed"):
        assert time.monotonic() < deadline, job
        job = sagemaker.describe_processing_job(ProcessingJobName=name)
        time.sleep(0.05)
    assert job["ProcessingJobStatus"] == "Completed", job
    found = logs.filter_log_events(logGroupName="/aws/sagemaker/ProcessingJobs", logStreamNamePrefix=f"{name}/")
    return [event["message"] for event in found["events"]]


def test_the_log_of_a_job_begins_with_what_differs(log_of: Callable[[str], LogOf]) -> None:
    """One line, in every job: packages with both versions, and a version of the image that is another."""
    log_of_version = log_of("numpy==1.26.4 scipy==1.14.0 joblib==1.4.2")
    differs = "numpy 2.0.1 (there 1.26.4), no joblib (there 1.4.2)"
    for version, text in (("1.4-2", differs), ("1.2-1", f"it stands for version 1.4-2, not for 1.2-1, {differs}")):
        line, *others = log_of_version(version)
        assert line.endswith(f"this stand-in for sagemaker-scikit-learn:{version}-cpu-py3 differs: {text}")
        assert others == ["from the script"]


def test_where_nothing_differs_the_log_is_the_script_s_own(log_of: Callable[[str], LogOf]) -> None:
    """The line comes from a comparison."""
    assert log_of("numpy==2.0.1 scipy==1.14.0")("1.4-2") == ["from the script"]
