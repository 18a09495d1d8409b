"""What to do about a failure: the known causes and their remedies, as a table.

The first row whose error and text both match is taken, so that a row about a known cause comes before the row about
its kind of error. A remedy is a sentence or two that a person can act on.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from stepbridge.core.permissions import Denial, denial_in
from stepbridge.core.run_report.instances import alternatives

__all__ = ["remedy_for"]

AGAIN: Final = "then clear the failed task: the execution goes on with the stage that failed"


@dataclass(frozen=True)
class _Row:
    """``error`` is the start of the error's name, or empty for any; ``text`` is searched in cause, reason and log."""

    error: str
    text: str
    remedy: str

    def matches(self, error: str, text: str) -> re.Match[str] | None:
        return re.search(self.text, text) if error.startswith(self.error) else None


_ROWS: Final = (
    _Row("InvalidInput", "", "Correct the execution input as the text says and start again; nothing was run."),
    _Row(
        "AlgorithmError",
        r"ModuleNotFoundError: No module named '(?P<module>[\w.]+)'",
        "The stage's image lacks the module {module}: for inference add its distribution to the container's "
        "requirements.txt; preprocessing and postprocessing have what the prebuilt scikit-learn image has. Then clear "
        "build_image.",
    ),
    _Row(
        "AlgorithmError",
        r"FileNotFoundError: .*?(?P<path>/opt/ml/processing/\S+?)['\"]?(?:\n|$)",
        "The script asked for {path}, which is not there: compare the name with the objects below the stage's input, "
        "and remember that an input lands in /opt/ml/processing/input. Correct the one or the other and clear the "
        "run's tasks.",
    ),
    _Row(
        "AlgorithmError",
        r"(?i)exit(ed with)? (code|status):? 137|\bMemoryError\b|out of memory|\bOOM\b",
        "The stage ran out of memory: choose a larger instance_type in the card or in the trigger's form, or let the "
        "script read less at once.",
    ),
    _Row(
        "AlgorithmError",
        r"No space left on device",
        "The job's volume is full: raise volume_size in the card or in the trigger's form.",
    ),
    _Row(
        "AlgorithmError",
        "",
        "The stage's own code ended with an error; its last log lines say where. It is not retried, since it would "
        "fail again: correct the script or the image, then clear the run's tasks.",
    ),
    _Row(
        "ClientError",
        r"(?i)no S3 objects found|NoSuchKey|does not exist under|found no object",
        "There was nothing to read below the stage's input: check input_uri, and whether the day's data has arrived; "
        f"{AGAIN}.",
    ),
    _Row(
        "ClientError",
        r"(?i)image.*(not found|does not exist|cannot be pulled|pull)|RepositoryNotFound|ImageNotFound",
        "The image could not be pulled: check that it is in ECR and that the processing role may read it; clear "
        "build_image to build it again.",
    ),
    _Row(
        "ClientError", "", f"The request does not suit SageMaker or S3, as the reason says: correct the card, {AGAIN}."
    ),
    _Row(
        "CapacityError",
        "",
        "AWS had no such instance free, after several attempts: clear the failed task later, and the execution goes on "
        "with the stage that failed; or choose another instance_type{alternatives} in the card or in the trigger's "
        "form, which starts a new execution.",
    ),
    _Row(
        "InternalServerError",
        "",
        "SageMaker itself failed, after several attempts: clear the failed task; the execution goes on with the stage "
        "that failed. If it stays so, look at the AWS Health Dashboard.",
    ),
    _Row(
        "JobStopped",
        r"MaxRuntime",
        "The job ran past max_runtime and was stopped: raise max_runtime in the card or in the trigger's form, or let "
        "the stage do less at once, then clear the run's tasks.",
    ),
    _Row(
        "JobStopped",
        "",
        "The job was stopped: by somebody, or because it ran past max_runtime. Raise max_runtime if it needs longer, "
        f"{AGAIN}.",
    ),
    _Row(
        "SageMaker.ResourceLimitExceeded",
        r"service limit '(?P<quota>[^']+)' is (?P<limit>\d+)",
        "The account's quota '{quota}' is {limit}: ask for more in Service Quotas (Amazon SageMaker, '{quota}'), "
        f"{AGAIN}; or choose another instance_type{{alternatives}}.",
    ),
    _Row(
        "SageMaker.ResourceLimitExceeded",
        "",
        "A quota of the account is used up: wait for other jobs, or ask for more in Service Quotas (Amazon SageMaker, "
        f"'{{instance_type}} for processing job usage'), {AGAIN}; or choose another instance_type{{alternatives}}.",
    ),
    _Row(
        "SageMaker.ResourceInUse",
        "",
        "A job of that name exists already: start a new execution under another name.",
    ),
    _Row(
        "SageMaker.ResourceNotFound",
        "",
        "Something that the request names does not exist: check role, image and S3 URIs in the execution input.",
    ),
    _Row("ThrottlingException", "", f"SageMaker takes few requests a second: start fewer runs at once, {AGAIN}."),
    _Row("SageMaker.", "", f"SageMaker refused the request, as the text says: correct the execution input, {AGAIN}."),
    _Row(
        "States.Timeout",
        "",
        "The stage did not end within max_runtime and an hour more: look at the job's log for what it waits for, or "
        f"raise max_runtime, {AGAIN}.",
    ),
    _Row(
        "States.QueryEvaluationError",
        "",
        "An expression of the state machine failed: run 'stepbridge deploy' so that the deployed definition is the "
        "one of this version; if it stays so, it is a fault in the definition.",
    ),
    _Row(
        "States.Runtime",
        "",
        "Step Functions could not run the definition: run 'stepbridge deploy' so that it is the one of this version.",
    ),
    _Row("States.TaskFailed", "", f"The job failed and gave no reason: its log says more; correct it, {AGAIN}."),
)

_BY_STATUS: Final = {
    "ABORTED": "The execution was stopped, not failed: to go on with the stage it had reached, clear the failed task.",
    "TIMED_OUT": "The execution ran past the state machine's own TimeoutSeconds: look for the stage that hangs, "
    f"{AGAIN}.",
}


def remedy_for(status: str, error: str | None, text: str, instance_type: str | None = None) -> str:
    """What to do about an execution that ended with ``status`` and ``error``; ``text`` is all that was said about it.

    ``instance_type`` is the failed stage's. Always a sentence: for an error of no known kind, where to look.
    """
    if status in _BY_STATUS:  # whatever error a stop was given, or Step Functions' own States.Timeout
        return _BY_STATUS[status]
    denial = denial_in(text) if error else None
    if denial is not None:
        return _permission(denial)
    for row in _ROWS if error else ():
        match = row.matches(error or "", text)
        if match is not None:
            return row.remedy.format(**match.groupdict(), **_instances(instance_type))
    return "Look at the execution's history in Step Functions for the event that failed."


def _permission(denial: Denial) -> str:
    if denial.explicit:
        return (
            f"A Deny statement of a policy is in the way, which no other statement overrules: find the one that keeps "
            f"{denial.who} from {denial.statement}; {AGAIN}."
        )
    return (
        f"A permission is missing: add {denial.statement} to a policy of {denial.who}, or run 'stepbridge deploy' "
        f"again if the stack's roles were changed by hand; {AGAIN}."
    )


def _instances(instance_type: str | None) -> dict[str, str]:
    others = alternatives(instance_type)
    return {
        "instance_type": instance_type or "<instance type>",
        "alternatives": f", such as {' or '.join(others)}," if others else "",
    }
