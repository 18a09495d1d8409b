"""The run report of an execution: gathered from Step Functions, SageMaker and S3, written beside the outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol

from stepbridge.aws.arns import S3Uri
from stepbridge.core.run_report import RunReport, build_run_report, cost_of, job_names
from stepbridge.errors import AwsError, NotFoundError
from stepbridge.reporting.objects import REPORT_FOLDER, list_input, list_output

if TYPE_CHECKING:  # parsing a DAG file does not import boto3
    from stepbridge.aws.logs import CloudWatchLogs
    from stepbridge.aws.s3 import S3
    from stepbridge.aws.sagemaker import SageMaker
    from stepbridge.aws.step_functions import Execution, StepFunctions

__all__ = ["Services", "gather_report", "last_log_lines", "write_report"]

LAST_LINES: Final = 200  # a traceback may begin before the 50 that are shown


class Services(Protocol):
    """The typed clients that a report is gathered through, such as ``StepbridgeHook``."""

    @property
    def step_functions(self) -> StepFunctions: ...
    @property
    def sagemaker(self) -> SageMaker: ...
    @property
    def s3(self) -> S3: ...
    @property
    def logs(self) -> CloudWatchLogs: ...


def gather_report(aws: Services, execution: Execution, prices: Mapping[str, float]) -> tuple[RunReport, list[str]]:
    """The report of the execution, and a line for each part that could not be read and is None in it.

    ``prices`` is what an instance hour costs, by instance type; without any there is no cost. Raises ``AwsError`` when
    the history cannot be read.
    """
    history, gaps = aws.step_functions.history(execution.arn), []
    jobs: dict[str, Mapping[str, Any]] = {}
    for name in job_names(history):
        try:
            jobs[name] = aws.sagemaker.describe_job(name)
        except AwsError as error:
            gaps.append(f"the report has only the history's part of job {name}: {error}")
    report = build_run_report(execution.description, history, jobs)
    parts: dict[str, Callable[[], object]] = {
        "definition_revision": lambda: aws.step_functions.revision_of(report.execution_arn) or None,
        "inputs": lambda: list_input(aws.s3, report),
        "outputs": lambda: list_output(aws.s3, report),
        "cost": lambda: cost_of(report, prices) if prices else None,
    }
    found: dict[str, object] = {}
    for part, read in parts.items():
        try:
            found[part] = read()
        except AwsError as error:
            gaps.append(f"the report has no {part}: {error}")
    return report.model_copy(update=found), gaps


def last_log_lines(logs: CloudWatchLogs, report: RunReport) -> dict[str, list[str]]:
    """The last lines of the failed stage's job, by job name; a note in their place when they can't be read."""
    stage = report.failed_stage
    if stage is None or not stage.job_name:
        return {}
    try:
        return {stage.job_name: logs.job_lines(stage.job_name, LAST_LINES)}
    except NotFoundError:
        return {}
    except AwsError as error:
        return {stage.job_name: [f"(the log can't be read: {error})"]}


def write_report(s3: S3, report: RunReport) -> S3Uri | None:
    """Write the report below its output; the object's URI, or None if the execution's input has no output_uri."""
    if not report.output_uri:
        return None
    uri = S3Uri.parse(report.output_uri).child(f"{REPORT_FOLDER}{report.execution_name}.json")
    s3.write(uri, report.model_dump_json(indent=2).encode(), "application/json")
    return uri
