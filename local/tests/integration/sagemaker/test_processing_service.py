"""The operations of SageMaker Processing and the order in which jobs run."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from threading import Thread, active_count
from typing import Any

import pytest

from stepbridge_local.protocols import Scope, ServiceError
from stepbridge_local.services.sagemaker.service import ProcessingService
from stepbridge_local.services.sagemaker.store import RECORDS_FILE

from .processing_support import SCOPE, Aws

Job = Callable[..., dict[str, Any]]
SLEEP = "import time; print('ready'); time.sleep(60)"


def fault_of(call: Callable[[], object]) -> tuple[str, str]:
    with pytest.raises(ServiceError) as caught:
        call()
    return caught.value.code, caught.value.message


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def status(service: ProcessingService, name: str, scope: Scope = SCOPE) -> str:
    return str(service.describe(scope, name)["ProcessingJobStatus"])


def test_a_name_is_taken_for_ever(aws: Aws, job: Job) -> None:
    """Also after the job ended and the local AWS was started anew; another region has names of its own."""
    aws.finished(job("pass"))
    arn = "arn:aws:sagemaker:us-east-1:123456789012:processing-job/job-1"
    expected = (
        "ResourceInUse",
        f"Job name must be unique within an AWS account and region, and a job with this name already exists ({arn})",
    )
    assert fault_of(lambda: aws.services[-1].create(SCOPE, job("pass"))) == expected
    assert fault_of(lambda: aws.open().create(SCOPE, job("pass"))) == expected
    elsewhere = Scope(SCOPE.account_id, "eu-central-1")
    aws.services[-1].create(elsewhere, job("pass"))
    assert aws.services[-1].wait(elsewhere, "job-1", 10)


def test_a_refused_request_takes_no_name(aws: Aws, job: Job) -> None:
    """The same name works once the request is right."""
    service = aws.open()
    code, _ = fault_of(lambda: service.create(SCOPE, job("pass", RoleArn="role")))
    assert code == "ValidationException"
    assert aws.finished(job("pass"))["ProcessingJobStatus"] == "Completed"


def test_a_name_that_no_job_has(aws: Aws) -> None:
    """Describe, stop and wait say so as AWS does."""
    service = aws.open()
    expected = ("ValidationException", "Could not find requested job with name: nobody")
    assert fault_of(lambda: service.describe(SCOPE, "nobody")) == expected
    assert fault_of(lambda: service.stop(SCOPE, "nobody")) == expected
    assert fault_of(lambda: service.wait(SCOPE, "nobody", 0)) == expected


def test_stop(aws: Aws, job: Job) -> None:
    """Stopping at once, Stopped when the container has ended; a second stop meanwhile is no error, a later one is."""
    service = aws.open()
    script = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (time.sleep(0.3), sys.exit(0)))
open("/opt/ml/processing/output/x", "w").write("1")
print("ready")
time.sleep(60)
"""
    service.create(SCOPE, job(script))
    wait_for(lambda: bool(aws.logs.lines))
    service.stop(SCOPE, "job-1")
    assert status(service, "job-1") == "Stopping"
    service.stop(SCOPE, "job-1")
    assert service.wait(SCOPE, "job-1", 5)
    described = service.describe(SCOPE, "job-1")
    assert described["ProcessingJobStatus"] == "Stopped"
    assert "FailureReason" not in described
    assert aws.output() == {}
    message = "The request was rejected because the processing job is in status Stopped."
    assert fault_of(lambda: service.stop(SCOPE, "job-1")) == ("ValidationException", message)


def test_no_more_than_the_set_number_run_at_once(aws: Aws, job: Job) -> None:
    """The others wait InProgress, without a start time, and can be stopped before their turn."""
    service = aws.open(max_concurrent_jobs=1)
    service.create(SCOPE, job(SLEEP, "first"))
    wait_for(lambda: bool(aws.logs.lines))
    service.create(SCOPE, job("pass", "second"))
    service.create(SCOPE, job("pass", "third"))
    waiting = service.describe(SCOPE, "second")
    assert waiting["ProcessingJobStatus"] == "InProgress"
    assert "ProcessingStartTime" not in waiting
    service.stop(SCOPE, "second")
    assert status(service, "second") == "Stopped"
    service.stop(SCOPE, "first")
    assert service.wait(SCOPE, "third", 10)
    assert status(service, "third") == "Completed"
    assert [spec.name.rpartition("us-east-1-")[2] for spec in aws.runtime.started] == ["first-algo-1", "third-algo-1"]


@pytest.mark.load_dependent
def test_wait_returns_the_moment_the_job_ends(aws: Aws, job: Job) -> None:
    """Not at the next poll: a stopped waiting job wakes its waiter within milliseconds; a timeout says False."""
    service = aws.open(max_concurrent_jobs=1)
    service.create(SCOPE, job(SLEEP, "first"))
    service.create(SCOPE, job("pass", "second"))
    assert service.wait(SCOPE, "second", 0.05) is False
    woke: list[float] = []
    waiter = Thread(target=lambda: (service.wait(SCOPE, "second", 10), woke.append(time.monotonic())))
    waiter.start()
    time.sleep(0.1)
    stopped = time.monotonic()
    service.stop(SCOPE, "second")
    waiter.join()
    assert woke[0] - stopped < 0.05
    assert service.wait(SCOPE, "second", 0) is True


def test_what_a_dead_process_left_is_failed(aws: Aws, job: Job, tmp_path: Path) -> None:
    """A record that says InProgress when a service starts belongs to nobody; its workspace is removed."""
    service = aws.open()
    service.create(SCOPE, job(SLEEP))
    wait_for(lambda: bool(aws.logs.lines))
    left = tmp_path / "left"  # what a killed process leaves behind: its files, as they are now
    left.mkdir()
    for file in aws.jobs_folder.glob(f"{RECORDS_FILE}*"):
        (left / file.name).write_bytes(file.read_bytes())
    (left / "work" / "x" / "ml").mkdir(parents=True)
    aws.jobs_folder = left
    after = aws.open()
    described = after.describe(SCOPE, "job-1")
    assert described["ProcessingJobStatus"] == "Failed"
    assert described["FailureReason"] == "InternalServerError: the local AWS was stopped while the job ran"
    assert described["ProcessingEndTime"] >= described["CreationTime"]
    assert not (left / "work").exists()
    assert after.wait(SCOPE, "job-1", 0) is True


def test_stop_all_ends_everything_and_takes_no_more(aws: Aws, job: Job) -> None:
    """Running and waiting jobs are Failed as after a crash, their processes are gone, create answers 503."""
    service = aws.open(max_concurrent_jobs=1)
    service.create(SCOPE, job(SLEEP, "running"))
    service.create(SCOPE, job("pass", "waiting"))
    wait_for(lambda: bool(aws.logs.lines))
    assert not service.closed
    began = time.monotonic()
    service.stop_all()
    service.stop_all()
    assert time.monotonic() - began < 30
    assert service.closed
    for name in ("running", "waiting"):
        described = service.describe(SCOPE, name)
        assert described["FailureReason"] == "InternalServerError: the local AWS was stopped while the job ran"
    assert [container.wait(0) is None for container in aws.runtime.containers] == [False]
    assert fault_of(lambda: service.create(SCOPE, job("pass", "late")))[0] == "ServiceUnavailable"


def test_list_with_pages(aws: Aws, job: Job) -> None:
    """Pages of two, in order, complete and without repetition, though jobs are created in between."""
    service = aws.open()
    for number in range(5):
        service.create(SCOPE, job("pass", f"job-{number}"))
        assert service.wait(SCOPE, f"job-{number}", 10)
    names: list[str] = []
    request: dict[str, Any] = {
        "MaxResults": 2,
        "SortBy": "Name",
        "SortOrder": "Descending",
        "StatusEquals": "Completed",
    }
    while True:
        page = service.list(SCOPE, request)
        names += [summary["ProcessingJobName"] for summary in page["ProcessingJobSummaries"]]
        if "NextToken" not in page:
            break
        request["NextToken"] = page["NextToken"]
        service.create(SCOPE, job("pass", f"later-{len(names)}"))
        service.wait(SCOPE, f"later-{len(names)}", 10)
    assert [name for name in names if name.startswith("job")] == [f"job-{number}" for number in (4, 3, 2, 1, 0)]
    assert len(names) == len(set(names))


def test_many_jobs_all_end(aws: Aws, job: Job) -> None:
    """150 jobs on 2 places: each ends, in its turn, never more than 2 at once; those that wait take no thread."""
    count = 150 if aws.runtime.name == "process" else 16  # an engine takes its time for each container
    service = aws.open(max_concurrent_jobs=2)
    threads = active_count()
    names = [f"job-{number:03}" for number in range(count)]
    for name in names:
        request = job("pass", name)
        request["AppSpecification"]["ContainerEntrypoint"] = ["true"]
        service.create(SCOPE, request)
        assert active_count() - threads < 30
    for name in names:
        assert service.wait(SCOPE, name, 60)
    described = [service.describe(SCOPE, name) for name in names]
    assert {one["ProcessingJobStatus"] for one in described} == {"Completed"}
    spans = [(one["ProcessingStartTime"], one["ProcessingEndTime"]) for one in described]
    assert all(sum(start < at < end for start, end in spans) <= 2 for at, _ in spans)
    started = [spec.name for spec in aws.runtime.started]
    assert len(started) == len(set(started)) == count
    order = [int(name.removesuffix("-algo-1")[-3:]) for name in started]
    assert all(abs(place - number) <= 1 for place, number in enumerate(order))


@pytest.mark.load_dependent
def test_the_overhead_of_a_job_is_small(aws: Aws, job: Job) -> None:
    """From CreateProcessingJob to Completed, the container's start included."""
    service = aws.open()
    took = []
    for number in range(5):
        request = job("", f"job-{number}")
        request["AppSpecification"]["ContainerEntrypoint"] = [
            "cp",
            "-r",
            "/opt/ml/processing/input",
            "/opt/ml/processing/output",
        ]
        began = time.perf_counter()
        service.create(SCOPE, request)
        assert service.wait(SCOPE, f"job-{number}", 10)
        took.append(time.perf_counter() - began)
        assert status(service, f"job-{number}") == "Completed"
    assert aws.output() == {"input/a.csv": b"1\n2\n"}
    assert min(took) < {"process": 0.3, "docker": 1.5}[aws.runtime.name], took


def test_the_description_for_step_functions_is_json(aws: Aws, job: Job) -> None:
    """Times as whole milliseconds, tags as a map, the rest as described."""
    described = aws.finished(job("raise SystemExit(1)", Tags=[{"Key": "team", "Value": "a"}]))
    cause = aws.services[-1].description_for_step_functions(SCOPE, "job-1")
    assert cause["CreationTime"] == int(described["CreationTime"].timestamp() * 1000)
    assert cause["Tags"] == {"team": "a"}
    assert cause["FailureReason"] == described["FailureReason"] == "AlgorithmError: , exit code: 1"
    assert aws.services[-1].tags(SCOPE, "job-1") == [{"Key": "team", "Value": "a"}]
