"""What holds for either runtime: from the source of an image to the end of an execution, through boto3."""

from __future__ import annotations

import hashlib
import json
import time
from typing import Any

import httpx
import pytest

SITE = Any  # tests.contract.runtimes.conftest.Site


@pytest.mark.usefixtures("image_uri")
def test_what_was_pushed_is_in_ecr(site: SITE, model_files: dict[str, str]) -> None:
    """The digest is that of the manifest that ECR gives out, and the one that docker push printed."""
    ecr = site.client("ecr")
    (details,) = [
        image
        for image in ecr.describe_images(repositoryName="models")["imageDetails"]
        if image.get("imageTags") == ["model"]
    ]
    (image,) = ecr.batch_get_image(repositoryName="models", imageIds=[{"imageTag": "model"}])["images"]
    digest = "sha256:" + hashlib.sha256(image["imageManifest"].encode()).hexdigest()
    assert details["imageDigest"] == image["imageId"]["imageDigest"] == digest
    assert details["imageSizeInBytes"] > 0
    status, log = site.build("model", model_files)
    assert status == "SUCCEEDED", log
    assert f"model: digest: {digest} size: " in log


@pytest.mark.usefixtures("image_uri")
def test_an_immutable_tag_is_not_pushed_over(site: SITE, model_files: dict[str, str]) -> None:
    """Another image under the same tag fails the build, and the tag names the first one still."""
    ecr = site.client("ecr")
    before = ecr.batch_get_image(repositoryName="models", imageIds=[{"imageTag": "model"}])["images"]
    status, log = site.build("model", {**model_files, "run.py": "print('another')\n"})
    assert status == "FAILED"
    assert "ImageTagAlreadyExistsException" in log
    assert ecr.batch_get_image(repositoryName="models", imageIds=[{"imageTag": "model"}])["images"] == before


def test_a_dockerfile_that_fails_fails_the_build(site: SITE) -> None:
    """Nothing is pushed, and the log says why."""
    files = {"Dockerfile": "ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\nCOPY nothing.txt .\n"}
    status, log = site.build("failing", files)
    assert status == "FAILED"
    assert "nothing.txt" in log
    tags = site.client("ecr").list_images(repositoryName="models")["imageIds"]
    assert "failing" not in [one.get("imageTag") for one in tags]


def test_an_image_starts_from_one_in_ecr(site: SITE, image_uri: str) -> None:
    """By its URI in the local ECR, given as a build argument; files, environment and entrypoint are inherited."""
    dockerfile = "ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\nENV GREETING=derived\n"
    status, log = site.build("derived", {"Dockerfile": dockerfile}, base_image=image_uri)
    assert status == "SUCCEEDED", log
    site.start_job("derived", image_uri.replace(":model", ":derived"))
    assert site.ended_job("derived")["ProcessingJobStatus"] == "Completed", site.job_log("derived")
    assert "derived from /app" in site.job_log("derived")


def test_a_job_runs_the_image_that_was_built(site: SITE, image_uri: str) -> None:
    """Its entrypoint and command, environment and working folder; input and output, and the log line by line."""
    site.start_job("converting", image_uri)
    job = site.ended_job("converting")
    assert job["ProcessingJobStatus"] == "Completed", (job, site.job_log("converting"))
    assert site.output("converting") == b"SOME TEXT"
    assert sorted(site.job_log("converting")) == ["it's me from /app", "to stderr"]


def test_a_job_whose_container_fails(site: SITE, image_uri: str) -> None:
    """Arguments replace the image's command; exit code and message are told."""
    site.start_job("failing", image_uri, "fail")
    job = site.ended_job("failing")
    assert job["ProcessingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("AlgorithmError")
    assert job["ExitMessage"] == "it cannot be done"


def test_a_stop_reaches_the_program(site: SITE, image_uri: str) -> None:
    """StopProcessingJob sends SIGTERM, which the program may answer; the job is then Stopped."""
    site.start_job("lingering", image_uri, "linger")
    deadline = time.monotonic() + 30
    while "waiting" not in site.job_log("lingering"):
        assert time.monotonic() < deadline, site.client("sagemaker").describe_processing_job(
            ProcessingJobName="lingering"
        )
        time.sleep(0.05)
    site.client("sagemaker").stop_processing_job(ProcessingJobName="lingering")
    assert site.ended_job("lingering")["ProcessingJobStatus"] == "Stopped"
    assert site.job_log("lingering") == ["waiting", "asked to stop"]


def test_network_isolation(site: SITE, image_uri: str) -> None:
    """The container has its loopback and nothing else."""
    site.start_job("isolated", image_uri, "interfaces", NetworkConfig={"EnableNetworkIsolation": True})
    assert site.ended_job("isolated")["ProcessingJobStatus"] == "Completed"
    assert site.job_log("isolated")[0] == "lo"


def test_an_execution_runs_a_job(site: SITE, image_uri: str) -> None:
    """createProcessingJob.sync, with the image pinned by its digest; its output is the job's description."""
    (image,) = site.client("ecr").batch_get_image(repositoryName="models", imageIds=[{"imageTag": "model"}])["images"]
    pinned = image_uri.rpartition(":")[0] + "@" + image["imageId"]["imageDigest"]
    task = {
        "Type": "Task",
        "Resource": "arn:aws:states:::sagemaker:createProcessingJob.sync",
        "Parameters": site.job_request("executed", pinned),
        "End": True,
    }
    step_functions = site.client("stepfunctions")
    machine = step_functions.create_state_machine(
        name="runtimes",
        definition=json.dumps({"StartAt": "Job", "States": {"Job": task}}),
        roleArn="arn:aws:iam::123456789012:role/states",
    )["stateMachineArn"]
    arn = step_functions.start_execution(stateMachineArn=machine)["executionArn"]
    deadline = time.monotonic() + 60
    while (execution := step_functions.describe_execution(executionArn=arn))["status"] == "RUNNING":
        assert time.monotonic() < deadline, execution
        time.sleep(0.05)
    assert execution["status"] == "SUCCEEDED", execution
    assert json.loads(execution["output"])["ProcessingJobStatus"] == "Completed"
    assert site.output("executed") == b"SOME TEXT"


def test_the_prebuilt_image_stands_on_the_base_image(site: SITE) -> None:
    """A job in sagemaker-scikit-learn runs a command in what was built with --base-image."""
    assert httpx.post(f"{site.process.endpoint_url}/_stepbridge/prebuilt-images", timeout=120).status_code == 200
    uri = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.4-2-cpu-py3"
    entrypoint = {"ImageUri": uri, "ContainerEntrypoint": ["python", "-c", "print(6 * 7)"]}
    site.start_job("prebuilt", uri, AppSpecification=entrypoint)
    assert site.ended_job("prebuilt")["ProcessingJobStatus"] == "Completed"
    assert site.job_log("prebuilt")[0] == "42"


def test_health_names_the_runtime(site: SITE) -> None:
    """``/_stepbridge/health`` says where containers run."""
    assert httpx.get(f"{site.process.endpoint_url}/_stepbridge/health").json()["runtime"] == site.runtime


def test_images_run_after_a_restart(site: SITE, image_uri: str) -> None:
    """Nothing is built or pushed anew."""
    site.restart()
    site.start_job("restarted", image_uri)
    assert site.ended_job("restarted")["ProcessingJobStatus"] == "Completed", site.job_log("restarted")
