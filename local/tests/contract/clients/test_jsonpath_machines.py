"""State machines in JSONPath, as AWS's samples are written: nothing in them knows of the local AWS."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from .conftest import Site

MACHINES = Path(__file__).with_name("state_machines")
STAGE = """\
import pathlib
for source in pathlib.Path("/opt/ml/processing/input/data").glob("*.txt"):
    print({stage!r}, source.name)
    (pathlib.Path("/opt/ml/processing/output") / source.name).write_text(source.read_text() + {stage!r})
"""


def run(site: Site, name: str, execution_input: dict[str, Any]) -> dict[str, Any]:
    return site.run_machine((MACHINES / f"{name}.asl.json").read_text(), execution_input)


def succeeded(site: Site, name: str, execution_input: dict[str, Any]) -> Any:
    execution = run(site, name, execution_input)
    assert execution["status"] == "SUCCEEDED", f"{execution.get('error')}: {execution.get('cause')}"
    return json.loads(execution["output"])


def test_the_three_stages_of_the_blog(site: Site) -> None:
    """Scripts, own container, scripts: each stage reads what the one before has written, by the job's description."""
    name = site.unique("three-stages")
    site.put(f"{name}/in/day.txt", "raw")
    for stage in ("preprocessing", "postprocessing"):
        site.put(f"{name}/code/{stage}.py", STAGE.format(stage=f" {stage}"))
    output = succeeded(
        site,
        "three_stages",
        {
            "input_uri": site.uri(name, "in"),
            "output_uri": site.uri(name, "out"),
            "code_uri": site.uri(name, "code"),
            "custom_image_uri": site.image_uri,
            "scikit_image_uri": site.image_uri,
            "role": site.role_arn,
            "instance_type": "ml.t3.medium",
            "volume_size": 1,
            "max_runtime": 120,
        },
    )
    assert output == site.uri(name, "out")
    assert site.text(f"{name}/out/preprocessed/day.txt") == "raw preprocessing"
    assert site.text(f"{name}/out/inference/day.txt") == "RAW PREPROCESSING"
    assert site.text(f"{name}/out/day.txt") == "RAW PREPROCESSING postprocessing"


def settings(site: Site, name: str) -> dict[str, Any]:
    places = {"input_uri": site.uri(name, "in"), "output_uri": site.uri(name, "out")}
    return {**places, "image_uri": site.image_uri, "role": site.role_arn, "suffix": "!"}


def test_a_map_runs_a_job_for_each_input(site: Site) -> None:
    """Intrinsic functions, defaults under the input, Map with a concurrency, a filter over what came out."""
    name = site.unique("map")
    days = ["2013-07-01", "2013-07-02", "2013-07-03"]
    for day in days:
        site.put(f"{name}/in/{day}/day.txt", f"flights on {day}")
    output = succeeded(site, "map_of_days", {"days": days, "settings": settings(site, name)})
    assert output == {"count": 3, "completed": days, "digest": hashlib.sha256(b"!").hexdigest()}
    for day in days:
        assert site.text(f"{name}/out/{day}/day.txt") == f"FLIGHTS ON {day} of {day}!"


def test_a_choice_leads_to_a_fail_with_a_formatted_cause(site: Site) -> None:
    """Without days the Choice takes its default."""
    execution = run(site, "map_of_days", {"days": [], "settings": settings(site, "none")})
    assert (execution["status"], execution["error"]) == ("FAILED", "NoDays")
    assert execution["cause"] == "no days in []"


def without(request: dict[str, Any], *members: str) -> dict[str, Any]:
    return {key: value for key, value in request.items() if key not in members}


def test_a_failed_job_is_caught_and_read(site: Site) -> None:
    """The cause is the job's description: its exit message decides, and another job runs in a Parallel."""
    first = site.job(site.unique("caught"), "fail")
    second = site.job(site.with_input("instead"))
    output = succeeded(site, "catch_and_fall_back", {"first": first, "second": second})
    assert output == {"status": "Completed", "because": "told to fail"}
    assert site.text(f"out/{second['ProcessingJobName']}/day.txt") == "HELLO"


def test_a_name_that_is_taken_is_caught_by_its_name(site: Site) -> None:
    """SageMaker.ResourceInUseException is not States.TaskFailed's catcher's, which stands behind it."""
    taken = site.run_job("in-use")["ProcessingJobName"]
    execution = run(site, "catch_and_fall_back", {"first": site.job(taken), "second": {}})
    assert (execution["status"], execution["error"]) == ("FAILED", "SageMaker.ResourceInUseException")
    assert "Job name must be unique within an AWS account and region" in execution["cause"]


def test_a_job_is_polled_and_a_queue_told(site: Site) -> None:
    """Request-response, describeProcessingJob and listObjectsV2 of the SDK integrations, and sqs:sendMessage."""
    sqs = site.client("sqs")
    queue_url = sqs.create_queue(QueueName=site.unique("told"))["QueueUrl"]
    name = site.with_input("polled")
    output = succeeded(
        site,
        "poll_until_done",
        {
            "job": site.job(name, SECONDS="1.5"),
            "bucket": site.bucket,
            "prefix": f"out/{name}/",
            "queue_url": queue_url,
        },
    )
    assert output == [f"out/{name}/day.txt"]
    (message,) = sqs.receive_message(QueueUrl=queue_url)["Messages"]
    assert json.loads(message["Body"]) == {"key": f"out/{name}/day.txt"}


def test_a_poll_ends_with_the_reason_of_the_failure(site: Site) -> None:
    """CausePath takes the job's failure reason."""
    name = site.unique("polled-failure")
    job = site.job(name, "fail")
    execution = run(site, "poll_until_done", {"job": job, "bucket": site.bucket, "prefix": "", "queue_url": ""})
    assert (execution["status"], execution["error"]) == ("FAILED", "JobFailed")
    assert execution["cause"].startswith(("AlgorithmError", "ClientError"))
