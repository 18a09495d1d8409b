"""The run report says what an execution did, however it ended and however little AWS still knows of it."""

import json

import pytest
from tests.unit.core.execution_builder import ExecutionBuilder, at, execution, recorded

from stepbridge.core.run_report.build import build_run_report
from stepbridge.core.run_report.history import job_names
from stepbridge.core.run_report.model import NOT_STARTED, UNKNOWN, RunReport
from stepbridge.core.run_report.timeline import duration, timeline
from stepbridge.errors import UnknownStatusError


def test_recorded_failure():
    """A real execution whose last stage failed: jobs, times, sums, and what failed."""
    found = recorded()
    history = found["history"][: found["failed_events"]]
    report = build_run_report(found["failed_execution"], history, found["jobs"])
    assert report.status == "FAILED"
    assert [(stage.stage, stage.status, stage.attempts) for stage in report.stages] == [
        ("preprocessing", "Completed", 1),
        ("inference", "Completed", 1),
        ("postprocessing", "Failed", 1),
    ]
    failed = report.failed_stage
    assert failed is not None
    assert (failed.state_name, failed.exit_message) == ("Postprocessing", "no good: 17 rows")
    assert failed.failure_reason == "AlgorithmError: , exit code: 1"
    assert failed.error == "States.TaskFailed"
    assert failed.output_uri == "s3://bkt/out"
    assert report.error == "AlgorithmError"
    assert report.model == "flight_delay"
    assert job_names(history) == tuple(stage.job_name for stage in report.stages)


def test_recorded_redrive():
    """The redriven execution: the stage's two jobs are one stage, and the time it waited is in no duration."""
    found = recorded()
    report = build_run_report(found["redriven_execution"], found["history"], found["jobs"])
    assert (report.status, report.redrive_count, report.failed_stage) == ("SUCCEEDED", 1, None)
    last = report.stages[-1]
    assert [job.status for job in last.jobs] == ["Failed", "Completed"]
    assert (last.attempts, last.status, last.error) == (2, "Completed", None)
    assert last.job_name.startswith("sb-fail-postprocessing-1-0-")
    wall = (found["redriven_execution"]["stopDate"] - found["redriven_execution"]["startDate"]).total_seconds()
    waited = (found["history"][46]["timestamp"] - found["history"][45]["timestamp"]).total_seconds()
    assert report.seconds == pytest.approx(wall - waited, abs=0.01)
    assert report.instance_seconds == pytest.approx(sum(stage.instance_seconds for stage in report.stages))


def test_report_survives_json():
    """What is kept beside the outputs can be read back."""
    found = recorded()
    report = build_run_report(found["redriven_execution"], found["history"], found["jobs"])
    assert RunReport.model_validate_json(report.to_json()) == report
    assert json.loads(report.to_json())["version"] == 2


def test_instance_seconds_count_instances_and_every_job():
    """SageMaker bills each instance for as long as it processed, failed attempts too."""
    built = ExecutionBuilder().enter(0, "Inference")
    built.schedule(0, "a").submit(0, "a").fail(30, "States.TaskFailed", "{}").job("a", "Failed", 10, 30)
    built.enter(60, "Inference").schedule(60, "b").submit(60, "b").succeed(100, "b").job("b", "Completed", 70, 100)
    report = build_run_report(execution("SUCCEEDED", 101), built.end(101, "ExecutionSucceeded").events, built.jobs)
    (stage,) = report.stages
    assert (stage.instance_seconds, report.instance_seconds) == (100.0, 100.0)
    assert (stage.offset_seconds, stage.seconds, stage.attempts, len(stage.jobs)) == (0.0, 100.0, 2, 2)
    assert (stage.instance_type, stage.instance_count) == ("ml.c5.xlarge", 2)


def test_refused_requests_count_as_attempts_but_make_no_job():
    """Throttled requests count, and cost nothing."""
    built = (
        ExecutionBuilder()
        .enter(0, "Inference")
        .schedule(0, "a")
        .fail(1, "ThrottlingException", "Rate exceeded", "TaskFailed")
    )
    built.schedule(4, "b").submit(4, "b").succeed(9, "b").job("b", "Completed", 4, 9)
    (stage,) = build_run_report(execution("SUCCEEDED", 9), built.events, built.jobs).stages
    assert (stage.attempts, [job.job_name for job in stage.jobs]) == (2, ["b"])
    assert job_names(built.events) == ("b",)


def test_request_that_was_never_taken():
    """A stage whose only request was refused has no job, and says by what error."""
    built = ExecutionBuilder().ran(0, 5, "Preprocessing").enter(5, "Inference").schedule(5, "a")
    built.fail(6, "SageMaker.AmazonSageMakerException", "no such role", "TaskSubmitFailed").end(7, "ExecutionFailed")
    report = build_run_report(execution("FAILED", 7, error="X", cause="no such role"), built.events, built.jobs)
    stage = report.failed_stage
    assert (stage.stage, stage.status, stage.jobs, stage.cause) == ("inference", NOT_STARTED, (), "no such role")


def test_running_execution_is_measured_up_to_now():
    """A running stage has a duration only when the caller says what time it is."""
    built = ExecutionBuilder().ran(0, 5, "Preprocessing").enter(5, "Inference").schedule(5, "a").submit(5, "a")
    built.job("a", "InProgress", 6, None)
    still = build_run_report(execution("RUNNING"), built.events, built.jobs)
    assert (still.seconds, still.stages[1].seconds, still.stages[1].status) == (None, None, "InProgress")
    now = build_run_report(execution("RUNNING"), built.events, built.jobs, now=at(25))
    assert (now.seconds, now.stages[1].seconds, now.stages[1].ended_at) == (25.0, 20.0, None)
    assert now.stages[1].instance_seconds == 38.0


@pytest.mark.parametrize(("status", "end"), [("TIMED_OUT", "ExecutionTimedOut"), ("ABORTED", "ExecutionAborted")])
def test_execution_that_ended_under_its_stage(status, end):
    """The history stops; the job's description says how the job ended."""
    built = (
        ExecutionBuilder().enter(0, "Inference").schedule(0, "a").submit(0, "a").end(50, end).job("a", "Stopped", 2, 52)
    )
    report = build_run_report(execution(status, 50), built.events, built.jobs)
    stage = report.failed_stage
    assert (stage.status, stage.seconds, report.seconds) == ("Stopped", 52.0, 50.0)


def test_task_that_timed_out():
    """A Task past its TimeoutSeconds has Step Functions' own error, with or without details."""
    built = ExecutionBuilder().enter(0, "Inference").schedule(0, "a").submit(0, "a")
    built.add(9, "TaskTimedOut", taskTimedOutEventDetails={"resource": "createProcessingJob.sync"})
    (stage,) = build_run_report(execution("FAILED", 9), built.events, {}).stages
    assert (stage.error, stage.status, stage.ended_at) == ("States.Timeout", UNKNOWN, at(9))


def test_jobs_without_a_description():
    """Without descriptions the history alone gives names, ends, and what a failed job's cause holds."""
    found = recorded()
    history = found["history"][: found["failed_events"]]
    report = build_run_report(found["failed_execution"], history, {})
    assert [stage.status for stage in report.stages] == ["Completed", "Completed", "Failed"]
    assert report.stages[2].exit_message == "no good: 17 rows"
    assert report.stages[2].jobs[0].seconds == pytest.approx(0.1, abs=0.1)


def test_redrive_that_continues_in_a_stage():
    """An aborted execution goes on in the same state without entering it again."""
    built = ExecutionBuilder().enter(0, "Inference").schedule(0, "a").submit(0, "a").end(10, "ExecutionAborted")
    built.end(1000, "ExecutionRedriven").schedule(1000, "b").submit(1000, "b").succeed(1020, "b")
    built.end(1021, "ExecutionSucceeded").job("a", "Stopped", 0, 10).job("b", "Completed", 1000, 1020)
    report = build_run_report(execution("SUCCEEDED", 1021), built.events, built.jobs)
    (stage,) = report.stages
    assert (report.seconds, stage.seconds, report.redrive_count) == (31.0, 30.0, 1)
    assert [job.job_name for job in stage.jobs] == ["a", "b"]


def test_execution_without_a_stage():
    """An execution that failed before its first stage has a report too."""
    report = build_run_report(execution("FAILED", 0.1, error="InvalidInput", cause="stages is empty"), [], {})
    assert (report.stages, report.failed_stage, report.seconds) == ((), None, 0.1)


def test_events_in_reverse_order():
    """The history may be read from its end."""
    found = recorded()
    forward = build_run_report(found["redriven_execution"], found["history"], found["jobs"])
    assert build_run_report(found["redriven_execution"], found["history"][::-1], found["jobs"]) == forward


def test_unknown_statuses_are_errors():
    """Neither an execution's nor a job's status is guessed at."""
    with pytest.raises(UnknownStatusError, match="status of an execution"):
        build_run_report(execution("PAUSED"), [], {})
    built = ExecutionBuilder().ran(0, 1, "Inference").job("sb-inference", "Melted", 0, 1)
    with pytest.raises(UnknownStatusError, match="status of a Processing job"):
        build_run_report(execution("SUCCEEDED", 1), built.events, built.jobs)


def test_timeline_shows_when_each_stage_ran():
    """Bars of the whole execution's length, 40 characters wide."""
    built = ExecutionBuilder().ran(0, 50, "Preprocessing").ran(50, 75, "Inference").ran(75, 100, "Postprocessing")
    report = build_run_report(execution("SUCCEEDED", 100), built.events, built.jobs)
    assert timeline(report).splitlines() == [
        "run  SUCCEEDED  1 min 40 s",
        "  preprocessing   50.0 s  |████████████████████                    |  "
        "✔ Completed, 2 x ml.c5.xlarge, 100 instance-s",
        "  inference       25.0 s  |                    ██████████          |  "
        "✔ Completed, 2 x ml.c5.xlarge, 50 instance-s",
        "  postprocessing  25.0 s  |                              ██████████|  "
        "✔ Completed, 2 x ml.c5.xlarge, 50 instance-s",
    ]


def test_timeline_of_what_has_no_durations():
    """A running execution without a clock, and one without a stage."""
    assert timeline(build_run_report(execution("FAILED", 1), [], {})) == "run  FAILED  1.00 s"
    built = ExecutionBuilder().enter(0, "Inference").schedule(0, "a").submit(0, "a").job("a", "InProgress", 0, None)
    text = timeline(build_run_report(execution("RUNNING"), built.events, built.jobs))
    assert text.splitlines()[1] == f"  inference  -  |{' ' * 40}|  … InProgress, 2 x ml.c5.xlarge, 0 instance-s"


def test_timeline_of_a_redriven_execution():
    """Redrives and attempts are counted; the bars fill what is left without the waiting."""
    found = recorded()
    text = timeline(build_run_report(found["redriven_execution"], found["history"], found["jobs"]))
    assert text.splitlines()[0].endswith("redriven once")
    assert text.splitlines()[3].endswith("█|  ✔ Completed, ml.m5.large, 0 instance-s, 2 attempts")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"), (0, "0.00 s"), (9.994, "9.99 s"), (12.34, "12.3 s"), (59.94, "59.9 s"), (59.99, "1 min 00 s"),
        (9.999, "10.0 s"), (60, "1 min 00 s"), (245, "4 min 05 s"), (3599.7, "1 h 00 min"), (7500, "2 h 05 min"),
    ],
)  # fmt: skip
def test_durations(seconds, text):
    """Short ones to the hundredth, long ones to the minute."""
    assert duration(seconds) == text
