"""Every failure that stepbridge knows: who tries it again, when, and what a person does about it.

``EXECUTION_FAILURES`` are the ends of an execution. The retry policy of the DAGs, the text of a failed task and the
table in docs/failures.md are made from it, and a test holds the state machine (asl/batch_inference.asl.json) against
it. ``TASK_ERRORS`` are the exceptions that a task ends with before or beside an execution; they bring their own text.

To add a failure, add a row above the more general ones: the first row that matches counts.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from fnmatch import fnmatchcase
from typing import Final

from stepbridge.core.instance_types import alternatives
from stepbridge.core.names import STAGES
from stepbridge.core.permissions import denial_in
from stepbridge.errors import StepbridgeError

FIRST_RETRY_SECONDS: Final = 60
RETRY_GROWTH: Final = 2.0
LONGEST_RETRY_SECONDS: Final = 30 * 60
"""Airflow's usual retries of a model's tasks: after one minute, then each after twice the time, up to the longest."""

_FIRST_MINUTES: Final = ", ".join(f"{FIRST_RETRY_SECONDS / 60 * RETRY_GROWTH**number:.0f}" for number in range(3))

RETRY_LATER_SECONDS: Final = 15 * 60
"""When what is short is tried again: capacity, a quota, or credentials that somebody has to renew."""

KILLED: Final = "stepbridge.Killed"
"""The error of an execution whose task was ended by somebody; the cause names the task instance and what was done."""

STOPPED: Final = "stepbridge.Stopped"
"""The error of an execution that went on past a deadline; the cause likewise."""

SUPERSEDED: Final = "stepbridge.Superseded"
"""The error of an execution in whose place start_execution has started another one. No task redrives it."""


class Retry(Enum):
    """Whether and when Airflow tries the task again, at most as often as the card's ``retries`` say."""

    NEVER = "no"
    LATER = f"after {RETRY_LATER_SECONDS // 60} minutes"
    AS_SET = f"after {_FIRST_MINUTES} … at most {LONGEST_RETRY_SECONDS // 60} minutes"


@dataclass(frozen=True)
class Retrier:
    """The state that failed asks SageMaker again: a Retry of Step Functions, with full jitter and a doubling delay."""

    interval_seconds: int
    max_delay_seconds: int
    max_attempts: int


@dataclass(frozen=True)
class BackOff:
    """The state machine goes through its state "Back off" and runs the stage again, with a doubling delay."""

    first_seconds: int
    longest_seconds: int
    attempts: int


THROTTLED_RETRIER: Final = Retrier(interval_seconds=2, max_delay_seconds=120, max_attempts=40)
QUOTA_RETRIER: Final = Retrier(interval_seconds=15, max_delay_seconds=300, max_attempts=12)
BACK_OFF: Final = BackOff(first_seconds=10, longest_seconds=900, attempts=8)


@dataclass(frozen=True)
class ExecutionFailure:
    """How an execution can end. ``error`` is Step Functions' name for it, in which ``*`` stands for any text.

    ``text`` is a regular expression, searched in cause, failure reason and log. ``remedy`` is for a person; the
    groups of ``text``, ``instance_type`` and ``alternatives`` are filled into it. ``kind`` is the row's name in the
    docs and ``why`` the retry policy's reason. ``machine`` is what the state machine tries first.
    """

    error: str
    kind: str
    retry: Retry
    remedy: str
    text: str = ""
    why: str = ""
    status: str = "FAILED"
    machine: Retrier | BackOff | None = None


@dataclass(frozen=True)
class TaskError:
    """An exception by the name of its class or of a base class, and by AWS's error ``code`` where it has one."""

    error: str
    retry: Retry
    why: str = "it would fail again"
    code: str = ""


ANY_SOURCE: Final = "build_image or upload_scripts"
SOURCES: Final[Mapping[str | None, str]] = {
    stage: "build_image" if stage == "inference" else "upload_scripts" for stage in STAGES
}
"""The task that brings what a stage runs to AWS; it has to be cleared once that was mended."""

_AGAIN: Final = "then clear wait_for_execution: the execution continues with the stage that failed"
_ANEW: Final = "then clear start_execution and the tasks after it: a new execution is started"
MENDED: Final = "then clear {source} and the tasks after it: a new execution is started with it"
_VALUE: Final = "in the card and clear start_execution and the tasks after it, or trigger a new run with it in the form"
_OTHER_TYPE: Final = f"choose another instance_type{{alternatives}} {_VALUE}"
_SCRIPT: Final = "the script or container failed, and would fail again on the same input"
_UNUSABLE: Final = "SageMaker could not use the input, the image or the role as they are"
_MACHINE: Final = "the state machine cannot process this input"
_REFUSED: Final = "SageMaker refused the request, and would again"
_TIMEOUT: Final = "it took longer than max_runtime allows"

NO_INPUT: Final = re.compile(r"(?i)no S3 objects found|NoSuchKey|does not exist under|found no object")
_NO_MODULE: Final = r"ModuleNotFoundError: No module named '(?P<module>[\w.]+)'"
_THROTTLED_TEXT: Final = "Throttl|Rate exceeded"
_SERVICE_TEXT: Final = "Status Code: 5|Unable to execute HTTP request"
_THROTTLED: Final = f"SageMaker takes few requests a second: start fewer runs at once, {_AGAIN}."
_SERVICE: Final = (
    f"SageMaker itself failed, after several attempts: wait a while, {_AGAIN}. If it stays so, look at the AWS Health "
    "Dashboard."
)
_ABORTED: Final = (
    "The execution was stopped, not failed: to continue with the stage it had reached, clear wait_for_execution."
)
_DEPLOY: Final = (
    "run 'stepbridge deploy' so that the deployed definition is the one of this version, "
    "then clear start_execution and the tasks after it"
)

_Row = ExecutionFailure
EXECUTION_FAILURES: Final[tuple[ExecutionFailure, ...]] = (
    _Row("InvalidInput", "the execution input is not valid", Retry.NEVER, why="the execution input is not valid",
         remedy=f"Nothing was run: correct the execution input as the text says, {_ANEW}."),
    # The stage's own code, by its output.
    _Row("AlgorithmError", "a script needs a module that its image lacks", Retry.NEVER, why=_SCRIPT,
         text=_NO_MODULE,
         remedy="If {module} is a file of the project, copy it: for inference into the image (COPY), for the other "
         "stages beside their script. If it is a package, add it to the container's requirements.txt for inference; "
         f"nothing is installed for the other stages, so do without it there; {MENDED}."),
    _Row("AlgorithmError", "a script needs a library of the system that its image lacks", Retry.NEVER, why=_SCRIPT,
         text=r"(?P<library>lib[\w.+-]+\.so[\w.]*): cannot open shared object file",
         remedy="The image lacks the system library {library}: install the Debian package that has it in the "
         f"container's Dockerfile, or take a package that brings its own; {MENDED}."),
    _Row("AlgorithmError", "a script asks for a file that is not there", Retry.NEVER, why=_SCRIPT,
         text=r"FileNotFoundError: .*?(?P<path>/opt/ml/processing/[^\s'\"]+|(?<=['\"])[^'\"\n]+(?=['\"]))",
         remedy="The script asked for {path}, which is not there: its input lands in /opt/ml/processing/input, "
         "and nothing else comes from the machine where the script ran. Correct the objects and clear start_execution "
         "and the tasks after it, or correct the script and clear {source} and the tasks after it."),
    _Row("AlgorithmError", "a stage runs out of memory", Retry.NEVER, why=_SCRIPT,
         text=r"(?i)exit(ed with)? (code|status):? 137|\bMemoryError\b|out of memory|\bOOM\b",
         remedy=f"The stage ran out of memory: choose a larger instance_type {_VALUE}; or let the script read less at "
         f"once, {MENDED}."),
    _Row("AlgorithmError", "a job's volume is full", Retry.NEVER, why=_SCRIPT, text="No space left on device",
         remedy=f"The job's volume is full: raise volume_size {_VALUE}."),
    _Row("AlgorithmError", "compiled code crashes", Retry.NEVER, why=_SCRIPT, text=r"exit (?:code|status):? 13[1-9]\b",
         remedy="A signal ended the process (the exit code less 128), mostly for a crash in the compiled code of a "
         f"package: take a version of it that suits the image's Python, {MENDED}."),
    _Row("AlgorithmError", "a script or a container fails", Retry.NEVER, why=_SCRIPT,
         remedy="The stage's own code ended with an error; its last log lines say where, if it wrote any. It is not "
         "retried, since it would fail again: correct the script or the image, "
         f"{MENDED}; or correct the data, {_ANEW}."),
    # What SageMaker could not use.
    _Row("ClientError", "the input is empty or missing", Retry.NEVER, why=_UNUSABLE,
         text=NO_INPUT.pattern,
         remedy="There was nothing to read below the stage's input: check input_uri, and whether the day's data has "
         f"arrived; {_ANEW}."),
    _Row("ClientError", "the image cannot be pulled", Retry.NEVER, why=_UNUSABLE,
         text=r"(?i)image.*(not found|does not exist|cannot be pulled|pull)|RepositoryNotFound|ImageNotFound",
         remedy="The image could not be pulled: check that it is in ECR and that the processing role may read it; "
         "then clear build_image and the tasks after it: an image that is gone is built again."),
    _Row("ClientError", "SageMaker cannot use the input, the image or the role", Retry.NEVER, why=_UNUSABLE,
         remedy=f"The request does not suit SageMaker or S3, as the reason says: correct the card, {_ANEW}."),
    # What passes with time.
    _Row("CapacityError", "AWS has no such instance free", Retry.LATER, machine=BACK_OFF,
         remedy=f"AWS had no such instance free, after several attempts: wait a while, {_AGAIN}; or {_OTHER_TYPE}."),
    _Row("InternalServerError", "SageMaker itself fails", Retry.AS_SET, machine=BACK_OFF, remedy=_SERVICE),
    # What stopped a job.
    _Row("JobStopped", "a job runs past max_runtime", Retry.NEVER, text="MaxRuntime", why=_TIMEOUT,
         remedy=f"The job ran past max_runtime and was stopped: raise max_runtime {_VALUE}; or let the stage do less "
         f"at once, {MENDED}."),
    _Row("JobStopped", "somebody stops a job", Retry.NEVER, why="somebody stopped the Processing job",
         remedy="The job was stopped. If somebody stopped it, clear wait_for_execution: the execution continues with "
         f"the stage that failed. If it ran past max_runtime, raise that {_VALUE}."),
    # What SageMaker's API answers.
    _Row("SageMaker.ResourceLimitExceededException", "a quota is reached", Retry.LATER, machine=QUOTA_RETRIER,
         text=r"service limit '(?P<quota>[^']+)' is (?P<limit>\d+)",
         remedy="The account's quota '{quota}' is {limit}: ask for more in Service Quotas (Amazon SageMaker, "
         f"'{{quota}}'), {_AGAIN}; or {_OTHER_TYPE}."),
    _Row("SageMaker.ResourceLimitExceededException", "a quota is reached", Retry.LATER, machine=QUOTA_RETRIER,
         remedy="A quota of the account is used up: wait for other jobs, or ask for more in Service Quotas (Amazon "
         f"SageMaker, '{{instance_type}} for processing job usage'), {_AGAIN}; or {_OTHER_TYPE}."),
    _Row("ThrottlingException", "SageMaker throttles", Retry.LATER, machine=THROTTLED_RETRIER, remedy=_THROTTLED),
    _Row("SageMaker.ThrottlingException", "SageMaker throttles", Retry.LATER, machine=THROTTLED_RETRIER,
         remedy=_THROTTLED),
    _Row("SageMaker.AmazonSageMakerException", "SageMaker throttles", Retry.LATER, machine=BACK_OFF,
         text=_THROTTLED_TEXT, remedy=_THROTTLED),
    _Row("SageMaker.AmazonSageMakerException", "SageMaker itself fails", Retry.AS_SET, machine=BACK_OFF,
         text=_SERVICE_TEXT, remedy=_SERVICE),
    _Row("SageMaker.*", "SageMaker throttles", Retry.LATER, text=_THROTTLED_TEXT, remedy=_THROTTLED),
    _Row("SageMaker.*", "SageMaker itself fails", Retry.AS_SET, text=_SERVICE_TEXT, remedy=_SERVICE),
    _Row("SageMaker.ResourceInUseException", "a job's name is taken", Retry.NEVER, why=_REFUSED,
         remedy="A job of that name exists already: clear start_execution and the tasks after it, so that an execution "
         "under another name is started."),
    _Row("SageMaker.ResourceNotFoundException", "the request names something that does not exist", Retry.NEVER,
         why=_REFUSED,
         remedy="Something that the request names does not exist: check role, image and S3 URIs in the execution "
         f"input, {_ANEW}."),
    _Row("SageMaker.*", "SageMaker refuses a request", Retry.NEVER, why=_REFUSED,
         remedy=f"SageMaker refused the request, as the text says: correct the execution input, {_ANEW}."),
    # What Step Functions itself ends a stage with.
    _Row("States.Timeout", "a stage does not end in time", Retry.NEVER, why=_TIMEOUT,
         remedy="The stage did not end within max_runtime and an hour more: look at the job's log for what it waits "
         f"for, and correct it, {MENDED}; or raise max_runtime {_VALUE}."),
    _Row("States.QueryEvaluationError", "the state machine cannot process the input", Retry.NEVER, why=_MACHINE,
         remedy=f"An expression of the state machine failed: {_DEPLOY}; if it stays so, the definition is wrong."),
    _Row("States.Runtime", "the local AWS is stopped while the execution runs", Retry.AS_SET,
         text="the local AWS was stopped",
         remedy=f"The local AWS was stopped meanwhile: start it with `stepbridge up`, {_AGAIN}."),
    _Row("States.Runtime", "the state machine cannot process the input", Retry.NEVER, why=_MACHINE,
         remedy=f"Step Functions could not run the definition: {_DEPLOY}."),
    _Row("States.DataLimitExceeded", "the input or a result is too large", Retry.NEVER,
         why="the input or a result is larger than Step Functions takes",
         remedy="The execution input or a result is larger than the 256 KiB that Step Functions takes: shorten the "
         f"card's environment and tags, {_ANEW}."),
    _Row("States.TaskFailed", "a job fails without a reason", Retry.AS_SET,
         remedy=f"The job failed and gave no reason: its log says more; correct it, {MENDED}."),
    _Row("*", "anything else", Retry.AS_SET,
         remedy="Look at the execution's history in Step Functions for the event that failed."),
    # What ended the execution as a whole.
    _Row(KILLED, "stepbridge stops the execution with its task", Retry.AS_SET, status="ABORTED", remedy=_ABORTED),
    _Row(STOPPED, "stepbridge stops the execution with its task", Retry.AS_SET, status="ABORTED", remedy=_ABORTED),
    _Row(SUPERSEDED, "another execution takes its place", Retry.AS_SET, status="ABORTED",
         remedy="start_execution has started another execution: it was cleared, or its input has changed. The next try "
         "of wait_for_execution waits for that one; if there is no next try, clear wait_for_execution."),
    _Row("*", "somebody stops the execution outside of Airflow", Retry.NEVER, status="ABORTED", remedy=_ABORTED,
         why="the execution was aborted outside of Airflow, and somebody meant that"),
    _Row("*", "the execution does not end in time", Retry.NEVER, status="TIMED_OUT", why=_TIMEOUT,
         remedy="The execution ran past the state machine's own TimeoutSeconds: look for the stage that hangs and "
         f"correct it, {MENDED}."),
)  # fmt: skip

TASK_ERRORS: Final[tuple[TaskError, ...]] = (
    TaskError("ConfigurationError", Retry.NEVER),  # cards, forms, execution inputs and deployments
    TaskError("FolderError", Retry.NEVER),
    TaskError("BrokenImageError", Retry.NEVER),
    TaskError("InputNotFoundError", Retry.NEVER),
    TaskError("InputCheckError", Retry.NEVER),
    TaskError("TasksNotClearedError", Retry.NEVER),
    TaskError("EmptyOutputError", Retry.NEVER),
    TaskError("UnknownStatusError", Retry.NEVER),
    TaskError("AccessDeniedError", Retry.NEVER),
    TaskError("RequestRejectedError", Retry.NEVER),
    # An execution that was started a moment ago may not be known everywhere yet.
    TaskError("NotFoundError", Retry.AS_SET, code="(ExecutionDoesNotExist)?"),
    TaskError("NotFoundError", Retry.NEVER, why="it has to be created first"),
    TaskError("QuotaExceededError", Retry.LATER),
    TaskError("ThrottlingError", Retry.LATER),
    TaskError("CredentialsError", Retry.LATER),  # somebody has to renew them
)


def execution_failure(status: str, error: str, text: str) -> ExecutionFailure:
    """The row of an execution that ended with ``status`` and ``error``; ``text`` is its cause, reason and log."""
    return _matched(status, error, text)[0]


def task_error(exception: BaseException) -> TaskError | None:
    """The row of an exception; None for one that is tried again as the task's own retries say."""
    if not isinstance(exception, StepbridgeError):
        return None
    code = getattr(exception, "code", "")
    for base in type(exception).__mro__:  # the most specific class first
        for row in TASK_ERRORS:
            if row.error == base.__name__ and re.fullmatch(row.code or ".*", code):
                return row
    return None


def remedy_for(
    status: str, error: str | None, text: str, instance_type: str | None = None, stage: str | None = None, arn: str = ""
) -> str:
    """What to do about an execution that ended with ``status`` and ``error``; ``text`` is its cause, reason and log.

    ``stage`` is the one that failed, ``instance_type`` its own, ``arn`` the execution's. Always a sentence.
    """
    row, match = _matched(status, error or "", text)
    if error and row.status == "FAILED":
        denial = denial_in(text, arn.split(":")[1] if arn else "aws")
        if denial is not None:
            return f"{denial.remedy}; {_AGAIN}."
    others = alternatives(instance_type)
    return row.remedy.format(
        **match.groupdict(),
        instance_type=instance_type or "<instance type>",
        alternatives=f", such as {' or '.join(others)}," if others else "",
        source=SOURCES.get(stage, ANY_SOURCE),
    )


def missing_module_remedy(stage: str, text: str, project_files: Sequence[str]) -> str:
    """What to do if ``text`` ends with a module that ``stage``, one of ``STAGES``, lacks; else empty.

    ``project_files`` are the project's modules, by their paths: one of them was not copied, and no package is missing.
    """
    missing = re.findall(_NO_MODULE, text)
    if not missing or stage not in SOURCES:
        return ""
    module, script = missing[-1], "predict.py" if stage == "inference" else f"{stage}.py"
    ends = tuple(f"/{module.partition('.')[0]}{end}" for end in (".py", "/__init__.py"))
    own = next((path for path in project_files if f"/{path}".endswith(ends)), "")
    found = f"{stage} lacks the module {module}"
    if own:
        found = f"{own} is a file of this project, no package, and is not where {stage} looks"
    if own and stage == "inference":
        remedy = f"put it into the container's folder, COPY it beside {script} and check .dockerignore"
    elif own:
        remedy = f"put it beside {script}; a script stage has the files of its scripts folder only"
    elif stage == "inference":
        remedy = "add the package that has it to the container's requirements.txt"
    else:
        remedy = (
            "it runs in the prebuilt scikit-learn image, into which nothing is installed: do without it, put its pure "
            f"Python beside {script}, or move that work to inference, which has a requirements.txt"
        )
    return f"{found}: {remedy}; {MENDED.format(source=SOURCES[stage])}."


def _matched(status: str, error: str, text: str) -> tuple[ExecutionFailure, re.Match[str]]:
    for row in EXECUTION_FAILURES:
        if status == row.status and fnmatchcase(error, row.error) and (match := re.search(row.text, text)):
            return row, match
    return _matched("FAILED", error, text)  # whose last row takes every error
