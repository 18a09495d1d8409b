"""Stopping jobs: at any moment, within the grace, and with what a job says at its end in every final status."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from .processing_support import SCOPE, Aws

Job = Callable[..., dict[str, Any]]


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


@pytest.mark.parametrize("script", ["import time; time.sleep(60)", "while True: pass"])
def test_a_stop_right_after_the_start_is_not_lost(aws: Aws, job: Job, script: str) -> None:
    """Whenever it comes while containers start, the job is Stopped long before the grace of 120 s is over."""
    service = aws.open()
    for number in range(12):
        name = f"job-{number}"
        service.create(SCOPE, job(script, name))
        if number:  # the first one may be stopped before there is a container
            wait_for(lambda started=number: len(aws.runtime.started) >= started)
        time.sleep((number % 6) * 0.004)
        began = time.monotonic()
        service.stop(SCOPE, name)
        assert service.wait(SCOPE, name, 60), (name, service.describe(SCOPE, name))
        assert time.monotonic() - began < 60
        assert service.describe(SCOPE, name)["ProcessingJobStatus"] == "Stopped"


def test_a_stop_in_the_moment_of_the_start_event(aws: Aws, job: Job) -> None:
    """As soon as DescribeProcessingJob has a start time."""
    service = aws.open()
    for number in range(5):
        name = f"job-{number}"
        service.create(SCOPE, job("import time; time.sleep(60)", name))
        wait_for(lambda name=name: "ProcessingStartTime" in service.describe(SCOPE, name))
        service.stop(SCOPE, name)
        assert service.wait(SCOPE, name, 60), (name, service.describe(SCOPE, name))


SAYS = "open('/opt/ml/output/message', 'w', encoding='utf-8').write('é' * 600)\n"
HALF = "é" * 512  # of 1200 bytes the first 1024


def test_the_exit_message_of_a_completed_job(aws: Aws, job: Job) -> None:
    """UTF-8, its first 1 KB."""
    described = aws.finished(job(SAYS))
    assert (described["ProcessingJobStatus"], described["ExitMessage"]) == ("Completed", HALF)


def test_the_exit_message_of_a_failed_job(aws: Aws, job: Job) -> None:
    """Beside the reason."""
    described = aws.finished(job(SAYS + "raise SystemExit(2)"))
    assert (described["ProcessingJobStatus"], described["ExitMessage"]) == ("Failed", HALF)
    assert described["FailureReason"] == "AlgorithmError: , exit code: 2"


def test_the_exit_message_of_a_stopped_job(aws: Aws, job: Job) -> None:
    """Also when the container had to be killed."""
    service = aws.open(stop_grace_seconds=0.3)
    script = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SAYS + "print('ready'); time.sleep(60)"
    )
    service.create(SCOPE, job(script))
    wait_for(lambda: bool(aws.logs.lines))
    service.stop(SCOPE, "job-1")
    assert service.wait(SCOPE, "job-1", 10)
    described = service.describe(SCOPE, "job-1")
    assert (described["ProcessingJobStatus"], described["ExitMessage"]) == ("Stopped", HALF)
    assert service.list(SCOPE, {})["ProcessingJobSummaries"][0]["ExitMessage"] == HALF


@pytest.mark.parametrize(("end", "status"), [("raise SystemExit(2)", "Failed"), ("time.sleep(60)", "Stopped")])
def test_an_exit_message_that_is_not_utf8_changes_no_other_end(aws: Aws, job: Job, end: str, status: str) -> None:
    """The reason that the job has stays; there is no exit message then."""
    service = aws.open()
    service.create(
        SCOPE, job(f"import time; open('/opt/ml/output/message', 'wb').write(b'\\xff'); print('ready'); {end}")
    )
    wait_for(lambda: bool(aws.logs.lines))
    if status == "Stopped":
        service.stop(SCOPE, "job-1")
    assert service.wait(SCOPE, "job-1", 10)
    described = service.describe(SCOPE, "job-1")
    assert described["ProcessingJobStatus"] == status
    assert "ExitMessage" not in described


def test_the_exit_message_of_several_instances(aws: Aws, job: Job) -> None:
    """One after the other, in their order."""
    script = """
import json
host = json.load(open("/opt/ml/config/resourceconfig.json"))["current_host"]
open("/opt/ml/output/message", "w").write(f"{host};")
"""
    cluster = {"InstanceCount": 3, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1}
    described = aws.finished(job(script, ProcessingResources={"ClusterConfig": cluster}))
    assert described["ExitMessage"] == "algo-1;algo-2;algo-3;"
