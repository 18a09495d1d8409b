"""Images that are there once, whoever asks for them and how often."""

from __future__ import annotations

import io
import json
import time
from typing import Any

import pytest

from stepbridge.aws.codebuild import CodeBuild
from stepbridge.aws.logs import CloudWatchLogs
from stepbridge.core.deployment import Deployment
from stepbridge.core.names import image_tag
from stepbridge.images.build_context import build_context, entries_of, write_zip
from stepbridge.images.digest import image_digest

from .airflow_runs import AirflowRuns, Failures
from .tiny_model import TinyModel


@pytest.fixture
def builds(session: Any, endpoint_url: str) -> Any:
    return session.client("codebuild", endpoint_url=endpoint_url)


def test_a_build_that_runs_already_is_adopted(
    airflow: AirflowRuns, model: TinyModel, builds: Any, deployment: Deployment
) -> None:
    """A worker that died after StartBuild left a build behind; the retry waits for it and starts no other."""
    failures = Failures()
    first = airflow.run(model.dag(failures, stages=["inference"]), failures)
    assert first.succeeded, failures.by_task
    dockerfile = model.context_folder / "Dockerfile"
    dockerfile.write_text(dockerfile.read_text() + "LABEL another=image\n")
    digest = image_digest(entries_of(build_context(model.context_folder)), "Dockerfile", {})
    running = start_by_hand(model, builds, deployment, digest)
    before = set(builds.list_builds_for_project(projectName=deployment.codebuild_project)["ids"])
    second = airflow.run(model.dag(failures, stages=["inference"]), failures)
    assert second.succeeded, failures.by_task
    assert running in before
    assert set(builds.list_builds_for_project(projectName=deployment.codebuild_project)["ids"]) == before
    assert None is not first.xcom("build_image") != second.xcom("build_image")


def start_by_hand(model: TinyModel, builds: Any, deployment: Deployment, digest: str) -> str:
    archive = io.BytesIO()
    write_zip(build_context(model.context_folder), archive)
    key = f"stepbridge/builds/{model.name}/{digest}.zip"
    model.s3.put_object(Bucket=model.bucket, Key=key, Body=archive.getvalue())
    build = CodeBuild(builds).start(
        deployment.codebuild_project,
        f"{model.bucket}/{key}",
        {"IMAGE_TAG": image_tag(model.name, digest), "BUILD_ARGS": json.dumps({})},
        digest,
    )
    return build.id


def test_a_log_is_handed_out_line_by_line_once(session: Any, endpoint_url: str) -> None:
    """Pages, an empty stream and one that does not exist yet are all the same to a reader."""
    client = session.client("logs", endpoint_url=endpoint_url)
    logs = CloudWatchLogs(client)
    tail = logs.tail("/test/tail", "s/1")
    assert tail.new_lines() == []
    client.create_log_group(logGroupName="/test/tail")
    client.create_log_stream(logGroupName="/test/tail", logStreamName="s/1")
    assert tail.new_lines() == []
    write(client, 0, 25_000)
    assert tail.new_lines() == [f"line {number}" for number in range(25_000)]
    assert tail.new_lines() == []
    write(client, 25_000, 25_003)
    assert tail.new_lines() == ["line 25000", "line 25001", "line 25002"]
    assert logs.last_lines("/test/tail", "s/1", 2) == ["line 25001", "line 25002"]
    assert logs.last_lines("/test/tail", "s/2", 2) == []
    assert logs.streams("/test/tail", "s/") == ["s/1"]
    assert logs.streams("/test/none", "s/") == []


def write(client: Any, first: int, last: int) -> None:
    now = int(time.time() * 1000)  # older lines than a fortnight are refused
    for start in range(first, last, 10_000):
        numbers = range(start, min(start + 10_000, last))
        events = [{"timestamp": now, "message": f"line {number}"} for number in numbers]
        client.put_log_events(logGroupName="/test/tail", logStreamName="s/1", logEvents=events)
