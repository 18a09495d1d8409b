"""The failure in words: which stage and job, what was said, the last lines of the log, and what to do."""

import pytest
from tests.unit.core.execution_story import Story, execution, job_arn, recorded

from stepbridge.core.run_report import build_run_report, failure_text, remedy_for

TRACEBACK = (
    "Traceback (most recent call last):",
    "FileNotFoundError: [Errno 2] No such file or directory: '/opt/ml/processing/input/x.csv'",
)


def test_failed_script_word_for_word():
    """What stands in the log of a failed task."""
    found = recorded()
    report = build_run_report(found["failed_execution"], found["history"][: found["failed_events"]], found["jobs"])
    job = report.failed_stage.job_name
    assert failure_text(report, {job: TRACEBACK}).splitlines() == [
        "Execution fail FAILED in postprocessing after 1.26 s: AlgorithmError",
        "  stage: postprocessing (state Postprocessing), attempt 1",
        f"  job: {job} is Failed on ml.m5.large ({job_arn(job)})",
        "  failure reason: AlgorithmError: , exit code: 1",
        "  exit message: no good: 17 rows",
        f"  last 2 log lines of {job}:",
        f"    | {TRACEBACK[0]}",
        f"    | {TRACEBACK[1]}",
        "  what to do: The script asked for /opt/ml/processing/input/x.csv, which is not there: compare the name with "
        "the objects below the stage's input, and remember that an input lands in /opt/ml/processing/input. Correct "
        "the one or the other and clear the run's tasks.",
        "  finished before and not run again by a redrive: preprocessing, inference",
    ]


def test_only_the_last_fifty_lines_are_shown():
    """A task's log is not flooded."""
    found = recorded()
    report = build_run_report(found["failed_execution"], found["history"][: found["failed_events"]], found["jobs"])
    job = report.failed_stage.job_name
    text = failure_text(report, {job: [f"line {number}" for number in range(200)]})
    assert [line for line in text.splitlines() if "| line" in line] == [f"    | line {n}" for n in range(150, 200)]


def test_invalid_input_has_no_stage():
    """Nothing was run; the cause is the text."""
    report = build_run_report(execution("FAILED", 0.2, error="InvalidInput", cause="stages is empty"), [], {})
    assert failure_text(report, {}).splitlines() == [
        "Execution run FAILED after 0.20 s: InvalidInput",
        "  cause: stages is empty",
        "  what to do: Correct the execution input as the text says and start again; nothing was run.",
    ]


def test_refused_request():
    """A job that was not made is said to be that, with SageMaker's own words."""
    cause = "User: arn:aws:sts::1:assumed-role/states/x is not authorized to perform: iam:PassRole on resource: arn:r"
    story = Story().enter(5, "Inference").schedule(5, "a").fail(6, "SageMaker.AmazonSageMakerException", cause)
    ended = execution("FAILED", 7, error="SageMaker.AmazonSageMakerException", cause=cause)
    lines = failure_text(build_run_report(ended, story.events, {}), {}).splitlines()
    assert lines[2] == "  job: a was not made"
    assert lines[3] == f"  cause: {cause}"
    assert lines[4].startswith(
        "  what to do: A permission is missing: allow iam:PassRole on arn:r for arn:aws:sts::1:assumed-role/states/x"
    )


def test_aborted_execution():
    """Who stopped it and why, if that was said, and how to go on."""
    story = Story().ran(0, 5, "Preprocessing").enter(5, "Inference").schedule(5, "a").submit(5, "a")
    story.end(9, "ExecutionAborted").job("a", "Stopped", 6, 10)
    report = build_run_report(
        execution("ABORTED", 9, error="Stopped", cause="by jane, in the UI"), story.events, story.jobs
    )
    lines = failure_text(report, {}).splitlines()
    assert lines[0] == "Execution run ABORTED in inference after 9.00 s: Stopped"
    assert "  cause: by jane, in the UI" in lines
    assert "  log: a has none" in lines
    assert lines[-2].startswith("  what to do: The execution was stopped, not failed")
    assert lines[-1] == "  finished before and not run again by a redrive: preprocessing"


@pytest.mark.parametrize("status", ["RUNNING", "SUCCEEDED"])
def test_execution_that_did_not_fail(status):
    """No failure is made up."""
    assert (
        failure_text(build_run_report(execution(status), [], {}), {}) == f"Execution run is {status}: nothing failed."
    )


def test_cause_of_many_lines_is_indented():
    """A cause of several lines stays one part of the text."""
    report = build_run_report(execution("FAILED", 1, error="X", cause="one\ntwo"), [], {})
    assert failure_text(report, {}).splitlines()[1:3] == ["  cause: one", "      two"]


@pytest.mark.parametrize(
    ("error", "text", "remedy"),
    [
        ("AlgorithmError", "ModuleNotFoundError: No module named 'lightgbm.basic'", "lacks the module lightgbm.basic"),
        ("AlgorithmError", "AlgorithmError: , exit code: 137", "ran out of memory: choose a larger instance_type"),
        ("AlgorithmError", "OSError: [Errno 28] No space left on device", "raise volume_size"),
        ("AlgorithmError", "ValueError: 3", "its last log lines say where"),
        ("ClientError", 'No S3 objects found under S3 URL "s3://b/x"', "check input_uri"),
        ("ClientError", "ClientError: image r/m:1 not found", "could not be pulled"),
        ("ClientError", "ClientError: x", "does not suit SageMaker or S3"),
        ("CapacityError", "", "choose another instance_type"),
        ("InternalServerError", "", "SageMaker itself failed"),
        ("JobStopped", "ClientError: MaxRuntimeExceeded", "ran past max_runtime and was stopped: raise max_runtime"),
        ("JobStopped", "", "stopped: by somebody"),
        (
            "SageMaker.ResourceLimitExceededException",
            "The account-level service limit 'ml.m5.large for processing job usage' is 4 Instances",
            "quota 'ml.m5.large for processing job usage' is 4",
        ),
        ("SageMaker.ResourceLimitExceededException", "", "A quota of the account is used up"),
        ("SageMaker.ResourceInUseException", "", "under another name"),
        ("SageMaker.ResourceNotFoundException", "", "does not exist: check role, image and S3 URIs"),
        ("SageMaker.AmazonSageMakerException", "ValidationException", "SageMaker refused the request"),
        ("ThrottlingException", "Rate exceeded", "start fewer runs at once"),
        ("States.Timeout", "", "did not end within max_runtime and an hour more"),
        ("States.QueryEvaluationError", "", "An expression of the state machine failed"),
        ("States.Runtime", "", "could not run the definition"),
        ("States.TaskFailed", "", "gave no reason"),
        ("Something.New", "", "Look at the execution's history"),
        (None, "", "Look at the execution's history"),
    ],
)
def test_known_causes_have_a_remedy(error, text, remedy):
    """Every kind of failure that AWS knows says what to do."""
    assert remedy in remedy_for("FAILED", error, text)


def test_remedy_of_an_execution_that_timed_out():
    """The state machine's own timeout is not a stage's."""
    assert "state machine's own TimeoutSeconds" in remedy_for("TIMED_OUT", "States.Timeout", "")
