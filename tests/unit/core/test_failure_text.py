"""The text about a failure: stage and job, reasons, the last lines of the log, and what to do."""

import json
import re

import botocore.session
import pytest
from tests.unit.core.execution_builder import ExecutionBuilder, execution, job_arn, recorded

from stepbridge.core.failures import EXECUTION_FAILURES, SOURCES, remedy_for
from stepbridge.core.instance_types import alternatives
from stepbridge.core.names import STAGES
from stepbridge.core.run_report.build import build_run_report
from stepbridge.core.run_report.failure_text import failure_text, without_log
from stepbridge.core.run_report.log_lines import LINE_LENGTH, MESSAGE_LINES, key_lines, shown, traceback_of
from stepbridge.core.run_report.model import ObjectReport, RunReport
from stepbridge.core.run_report.objects import listing

TRACEBACK = (
    "Traceback (most recent call last):",
    "FileNotFoundError: [Errno 2] No such file or directory: '/opt/ml/processing/input/x.csv'",
)


def test_failed_script_word_for_word():
    """What the log of a failed task shows."""
    found = recorded()
    report = build_run_report(found["failed_execution"], found["history"][: found["failed_events"]], found["jobs"])
    job = report.failed_stage.job_name
    assert failure_text(report, {job: TRACEBACK}).splitlines() == [
        "Execution fail FAILED in postprocessing after 1.26 s: AlgorithmError",
        "  stage: postprocessing (state Postprocessing), attempt 1",
        f"  job: {job} is Failed on ml.m5.large ({job_arn(job)})",
        "  failure reason: AlgorithmError: , exit code: 1",
        "  exit message: no good: 17 rows",
        "  the script's error:",
        f"    {TRACEBACK[0]}",
        f"    {TRACEBACK[1]}",
        f"  last 2 log lines of {job}:",
        f"    | {TRACEBACK[0]}",
        f"    | {TRACEBACK[1]}",
        "  what to do: The script asked for /opt/ml/processing/input/x.csv, which is not there: its input lands in "
        "/opt/ml/processing/input, and nothing else comes from the machine where the script ran. Correct the objects "
        "and clear start_execution and the tasks after it, or correct the script and clear upload_scripts and the "
        "tasks after it.",
        "  finished before and run again by a new execution: preprocessing, inference",
    ]


def test_only_the_last_fifty_lines_are_shown():
    """A task's log is not flooded."""
    found = recorded()
    report = build_run_report(found["failed_execution"], found["history"][: found["failed_events"]], found["jobs"])
    job = report.failed_stage.job_name
    text = failure_text(report, {job: [f"line {number}" for number in range(200)]})
    assert [line for line in text.splitlines() if "| line" in line] == [f"    | line {n}" for n in range(150, 200)]


def test_the_last_fifty_lines_of_every_host_are_shown():
    """The host that failed is not always the last one."""
    found = recorded()
    report = build_run_report(found["failed_execution"], found["history"][: found["failed_events"]], found["jobs"])
    lines = [f"--- algo-{host}-1" if n < 0 else f"{host}.{n}" for host in (1, 2) for n in range(-1, 60)]
    text = failure_text(report, {report.failed_stage.job_name: lines})
    shown = [line.removeprefix("    | ") for line in text.splitlines() if line.startswith("    | ")]
    assert shown == [
        line for host in (1, 2) for line in (f"--- algo-{host}-1", *(f"{host}.{n}" for n in range(10, 60)))
    ]


def test_links_come_before_what_to_do():
    """Each on a line of its own, so that a terminal or Airflow's log view makes it one to click on."""
    report = build_run_report(execution("FAILED", 0.2, error="X"), [], {})
    lines = failure_text(report, {}, {"execution page": "https://e", "job log": "https://l"}).splitlines()
    assert lines[1:3] == ["  execution page: https://e", "  job log: https://l"]
    assert lines[3].startswith("  what to do: ")


def test_a_limit_on_a_job_that_was_not_created_names_the_quota():
    """The execution input has the instance type, since there is no job."""
    asked = '{"instance_type": "ml.r5.large"}'
    ended = execution("FAILED", 1, error="SageMaker.ResourceLimitExceededException", input=asked)
    text = failure_text(build_run_report(ended, [], {}), {})
    assert "(Amazon SageMaker, 'ml.r5.large for processing job usage')" in text
    assert "such as ml.r6i.large or ml.r7i.large" in text


def test_invalid_input_has_no_stage():
    """Nothing was run; the cause is the text."""
    report = build_run_report(execution("FAILED", 0.2, error="InvalidInput", cause="stages is empty"), [], {})
    assert failure_text(report, {}).splitlines() == [
        "Execution run FAILED after 0.20 s: InvalidInput",
        "  cause: stages is empty",
        "  what to do: Nothing was run: correct the execution input as the text says, then clear start_execution and "
        "the tasks after it: a new execution is started.",
    ]


def test_refused_request():
    """A job that was not created, with SageMaker's own words."""
    cause = "User: arn:aws:sts::1:assumed-role/states/x is not authorized to perform: iam:PassRole on resource: arn:r"
    built = (
        ExecutionBuilder().enter(5, "Inference").schedule(5, "a").fail(6, "SageMaker.AmazonSageMakerException", cause)
    )
    ended = execution("FAILED", 7, error="SageMaker.AmazonSageMakerException", cause=cause)
    lines = failure_text(build_run_report(ended, built.events, {}), {}).splitlines()
    assert lines[2] == "  job: a was not created"
    assert lines[3] == f"  cause: {cause}"
    assert lines[4].startswith(
        '  what to do: A permission is missing: add {"Effect": "Allow", "Action": "iam:PassRole", "Resource": "arn:r", '
        '"Condition": {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}} to a policy of role states'
    )


def test_aborted_execution():
    """Who stopped it and why, if that is known, and how to go on."""
    built = ExecutionBuilder().ran(0, 5, "Preprocessing").enter(5, "Inference").schedule(5, "a").submit(5, "a")
    built.end(9, "ExecutionAborted").job("a", "Stopped", 6, 10)
    report = build_run_report(
        execution("ABORTED", 9, error="Stopped", cause="by jane, in the UI"), built.events, built.jobs
    )
    lines = failure_text(report, {}).splitlines()
    assert lines[0] == "Execution run ABORTED in inference after 9.00 s: Stopped"
    assert "  cause: by jane, in the UI" in lines
    assert "  log: a has none" in lines
    assert lines[-2].startswith("  what to do: The execution was stopped, not failed")
    assert lines[-1] == "  finished before and not run again by a redrive: preprocessing"


@pytest.mark.parametrize("status", ["RUNNING", "SUCCEEDED"])
def test_execution_that_did_not_fail(status):
    """No failure is reported."""
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
        ("AlgorithmError", "ModuleNotFoundError: No module named 'lightgbm.basic'", "If lightgbm.basic is a file of"),
        (
            "AlgorithmError",
            "ImportError: libgomp.so.1: cannot open shared object file: No such file or directory",
            "lacks the system library libgomp.so.1",
        ),
        ("AlgorithmError", "AlgorithmError: , exit code: 137", "ran out of memory: choose a larger instance_type"),
        ("AlgorithmError", "OSError: [Errno 28] No space left on device", "raise volume_size"),
        (
            "AlgorithmError",
            ", exit code: 139",
            "A signal ended the process (the exit code less 128), mostly for a crash",
        ),
        ("AlgorithmError", ", exit code: 134", "A signal ended the process"),
        ("AlgorithmError", ", exit code: 137", "The stage ran out of memory"),
        ("AlgorithmError", ", exit code: 3", "its last log lines say where, if it wrote any"),
        (
            "AlgorithmError",
            "FileNotFoundError: [Errno 2] No such file or directory: '/home/jane/my data/in.csv'",
            "The script asked for /home/jane/my data/in.csv, which is not there: its input lands in "
            "/opt/ml/processing/input, and nothing else comes from the machine where the script ran.",
        ),
        (
            "AlgorithmError",
            r"FileNotFoundError: [Errno 2] No such file or directory: 'C:\\Users\\me\\data.csv'",
            r"The script asked for C:\\Users\\me\\data.csv, which is not there",
        ),
        (
            "AlgorithmError",
            "FileNotFoundError: File /opt/ml/processing/input/x.csv is missing",
            "x.csv, which is not there",
        ),
        ("AlgorithmError", "ValueError: 3", "its last log lines say where"),
        ("ClientError", 'No S3 objects found under S3 URL "s3://b/x"', "check input_uri"),
        ("ClientError", "ClientError: image r/m:1 not found", "could not be pulled"),
        ("ClientError", "ClientError: x", "does not suit SageMaker or S3"),
        (
            "ClientError",
            "ClientError: Failed to download data from s3://data/in/x.csv: An error occurred (403): Forbidden",
            '"Action": ["s3:GetObject", "s3:ListBucket"], "Resource": ["arn:aws:s3:::data", "arn:aws:s3:::data/*"]',
        ),
        (
            "AlgorithmError",
            "x is not authorized to perform: s3:PutObject on resource: arn:q with an explicit deny in a policy",
            "A Deny statement of a policy is in the way",
        ),
        ("CapacityError", "", "choose another instance_type in the card"),
        ("InternalServerError", "", "SageMaker itself failed"),
        ("JobStopped", "ClientError: MaxRuntimeExceeded", "ran past max_runtime and was stopped: raise max_runtime"),
        ("JobStopped", "", "If somebody stopped it, clear wait_for_execution"),
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
    """Every failure that AWS documents has one."""
    assert remedy in remedy_for("FAILED", error, text)


@pytest.mark.parametrize("partition", ["aws", "aws-cn", "aws-us-gov"])
def test_the_missing_statement_names_the_bucket_in_the_partition_of_the_execution(partition):
    """SageMaker tells the bucket's URI only; a statement of another partition would allow nothing."""
    found = recorded()
    failed = {
        **found["failed_execution"],
        "executionArn": f"arn:{partition}:states:x:123456789012:execution:m:run",
        "error": "ClientError",
        "cause": "ClientError: Failed to download data from s3://data/in/x.csv: An error occurred (403): Forbidden",
    }
    text = failure_text(build_run_report(failed, [], {}), {})
    assert f'"Resource": ["arn:{partition}:s3:::data", "arn:{partition}:s3:::data/*"]' in text
    assert set(re.findall(r"arn:[\w-]+:s3", text)) == {f"arn:{partition}:s3"}


def test_remedy_of_an_execution_that_timed_out():
    """The state machine's own timeout is not a stage's."""
    assert "state machine's own TimeoutSeconds" in remedy_for("TIMED_OUT", "States.Timeout", "")


def test_capacity_names_the_types_to_try_instead():
    """The same size of the families beside it."""
    remedy = remedy_for("FAILED", "CapacityError", "", "ml.m5.xlarge")
    assert "choose another instance_type, such as ml.m6i.xlarge or ml.m7i.xlarge, in the card" in remedy


def test_every_alternative_is_a_type_that_sagemaker_knows():
    """The tables are held against the service model."""
    known = botocore.session.get_session().get_service_model("sagemaker").shape_for("ProcessingInstanceType").enum
    offered = {other for one in known for other in alternatives(one)}
    assert offered <= set(known)
    assert alternatives("ml.m5.24xlarge") == ("ml.m6i.24xlarge", "ml.m7i.24xlarge")
    assert alternatives("ml.t3.large") == ("ml.m5.large", "ml.m6i.large", "ml.m7i.large")
    assert alternatives("ml.p2.xlarge") == ()
    assert alternatives(None) == ()


FRAMES = [
    "Traceback (most recent call last):",
    '  File "/opt/ml/processing/code/preprocessing.py", line 9, in <module>',
    "    main()",
]


@pytest.mark.parametrize(
    ("before", "raised"),
    [
        (["reading"], [*FRAMES, "ValueError: no column x"]),
        ([FRAMES[0], "KeyError: 'x'", "", "During handling of …", ""], [*FRAMES, "OSError: y"]),
        ([], [*FRAMES, "ValueError: 2 problems", "first: bad", "", "  second: worse", "see the manual"]),
        ([], ['  File "/opt/ml/processing/code/preprocessing.py", line 3', "    def x(", "         ^",
              "SyntaxError: '(' was never closed"]),
    ],
)  # fmt: skip
def test_the_script_s_traceback_is_the_last_and_whole(before: list[str], raised: list[str]) -> None:
    """Of a chain the exception that ended the script; a message with all its lines; a syntax error has no heading."""
    assert traceback_of([*before, *raised]) == raised
    assert traceback_of([*before, *raised, "--- algo-2-1", "reading"]) == raised
    if raised[0] == FRAMES[0]:
        assert traceback_of([f"    {line}" for line in [*before, *raised]]) == raised


def test_no_traceback_is_made_up() -> None:
    """A heading alone, or none, is no error; a message without an end is cut."""
    assert traceback_of(["reading", "done"]) == []
    assert traceback_of(FRAMES[:1]) == []
    assert len(traceback_of([*FRAMES, *(f"line {number}" for number in range(100))])) == len(FRAMES) + MESSAGE_LINES


@pytest.mark.parametrize("bar", ["\r 10%|█\r100%|███|", " 50%|█▌  | 1/2 [00:01<00:01, 1.0s/it]", "\r 10%\r"])
def test_a_progress_bar_before_a_traceback_does_not_hide_it(bar: str) -> None:
    """A bar ends without a line end, so that the traceback begins in its line; of the bar its last state is shown."""
    lines = shown([f"{bar}{FRAMES[0]}", *FRAMES[1:], "ValueError: x"])
    assert traceback_of(lines) == [*FRAMES, "ValueError: x"]
    assert shown(["\r 10%\r 50%\r100%\r"]) == ["100%"]
    assert shown(["x" * 5000, ""]) == ["x" * LINE_LENGTH, ""]


def test_key_lines_are_warnings_and_the_end() -> None:
    """Of a stage that went well: each warning once, and the last three lines, in order."""
    warning = "base.py:347: InconsistentVersionWarning: Trying to unpickle estimator"
    lines = ["one", warning, "two", warning, "three", "four", "WARNING:root:low", "five"]
    assert key_lines(lines) == [warning, "four", "WARNING:root:low", "five"]
    assert key_lines([]) == []


def test_the_short_text_has_no_log() -> None:
    """What happened and what to do fits on a screen."""
    found = recorded()
    report = build_run_report(found["failed_execution"], found["history"][: found["failed_events"]], found["jobs"])
    text = failure_text(report, {report.failed_stage.job_name: [f"line {number}" for number in range(60)]})
    short = without_log(text).splitlines()
    assert short == [line for line in text.splitlines() if "log lines of" not in line and "| line" not in line]
    assert len(short) < 10


def silent_report(stored: str = "s3://b/out/_stepbridge/run/preprocessing", status: str = "Failed") -> RunReport:
    """Inference found nothing below ``stored``."""
    request = {
        "ProcessingJobName": "a",
        "ProcessingOutputConfig": {"Outputs": [{"S3Output": {
            "S3Uri": "s3://b/out/_stepbridge/run/preprocessing", "LocalPath": "/opt/ml/processing/output"}}]},
    }  # fmt: skip
    built = ExecutionBuilder().enter(0, "Preprocessing")
    built.add(0, "TaskScheduled", taskScheduledEventDetails={"parameters": json.dumps(request)})
    built.succeed(5, "a").enter(5, "Inference").schedule(5, "b").submit(5, "b").fail(6, "States.TaskFailed").job(
        "a", "Completed", 0, 5
    )
    reason = f'ClientError: No S3 objects found under S3 URL "{stored}/" given in input data source.'
    built.job("b", status, 5, 6, FailureReason=reason)
    return build_run_report(execution("FAILED", 7, error="ClientError"), built.events, built.jobs)


def test_a_stage_that_stored_nothing_is_at_fault() -> None:
    """On AWS, where nobody says what lay in the container, the text says so, and what is known."""
    lines = failure_text(silent_report(), {"a": ["reading 0 rows"]}).splitlines()
    assert "  at fault: preprocessing, which wrote nothing for inference to read" in lines
    assert any(line.startswith("  output folder: /opt/ml/processing/output; nothing that lay in it") for line in lines)
    assert any(line.startswith("  working directory: SageMaker does not tell it") for line in lines)
    assert "    | reading 0 rows" in lines
    assert lines[-1].startswith(
        "  what to do: preprocessing.py ended well and left no file in /opt/ml/processing/output"
    )


def test_another_input_that_is_missing_is_nobody_s_fault_before() -> None:
    """Only the input that the stage before should have written."""
    report = silent_report("s3://other/reference")
    assert report.silent_stage is None
    assert "check input_uri" in failure_text(report, {})


def test_objects_of_the_input_are_named_after_an_error() -> None:
    """So that a wrong name is seen at once."""
    found = recorded()
    report = build_run_report(found["failed_execution"], found["history"][: found["failed_events"]], found["jobs"])
    objects = [ObjectReport(key=f"in/{number:02}.csv", bytes=1, etag="e") for number in range(12)]
    text = failure_text(report, {report.failed_stage.job_name: TRACEBACK}, None, listing("s3://b/in/", objects, True))
    assert f"  its input, below s3://b/in/: {', '.join(f'{n:02}.csv' for n in range(10))} and 2 more" in text


TASKS = {"build_image", "upload_scripts", "start_execution", "wait_for_execution"}


@pytest.mark.parametrize("row", EXECUTION_FAILURES, ids=lambda row: f"{row.status} {row.error} {row.kind}")
@pytest.mark.parametrize("stage", [*STAGES, None])
def test_advice_names_the_task_to_clear(row, stage):
    """It is there whatever the number of stages; what a stage runs comes from one of two tasks, by the stage."""
    groups = dict.fromkeys(re.compile(row.text).groupindex, "x")
    remedy = row.remedy.format(**groups, instance_type="t", alternatives="", source=SOURCES.get(stage, "build_image"))
    for cleared in re.findall(r"\bclear\b(?: (\w+))?", remedy):
        assert cleared in TASKS, remedy
    other = {"inference": "upload_scripts", None: ""}.get(stage, "build_image")
    if other and "image that is gone" not in remedy:
        assert f"clear {other}" not in remedy


def test_a_script_and_an_image_come_from_tasks_of_their_own():
    """So the remedy for the same error names another task for another stage."""
    texts = {stage: remedy_for("FAILED", "AlgorithmError", "ValueError: 3", stage=stage) for stage in STAGES}
    assert "clear upload_scripts and the tasks after it" in texts["preprocessing"]
    assert "clear build_image and the tasks after it" in texts["inference"]
    assert texts["postprocessing"] == texts["preprocessing"]
