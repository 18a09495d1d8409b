"""The end of an execution told: run report, timeline, links, and the failure with its log lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from airflow.sdk import Asset

from stepbridge.aws.arns import S3Uri
from stepbridge.aws.logs import PROCESSING_LOG_GROUP
from stepbridge.aws.step_functions import Execution
from stepbridge.core.run_report import RunReport, build_run_report, failure_text, figures, job_names, timeline
from stepbridge.core.statuses import execution_status
from stepbridge.errors import AwsError, NotFoundError
from stepbridge.links.addresses import execution_address, job_address, log_address
from stepbridge.links.stepbridge import JobLogsLink
from stepbridge.reporting.run_facts import EmptyOutputError, Facts
from stepbridge.sensors.errors import ExecutionFailedError

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.sdk.types import Logger

    from stepbridge.hooks.stepbridge import StepbridgeHook

__all__ = ["REPORT_KEY", "Reporter"]

REPORT_KEY: Final = "run_report"
LAST_LINES: Final = 200  # a traceback may begin before the 50 that are shown


class Reporter:
    """Reports executions that have ended."""

    def __init__(
        self,
        hook: StepbridgeHook,
        log: Logger,
        *,
        allow_empty_output: bool = False,
        prices: Mapping[str, float] | None = None,
    ) -> None:
        self._hook = hook
        self._log = log
        self._allow_empty_output = allow_empty_output
        self._facts = Facts(hook, log, prices)
        self.report: RunReport | None = None
        """The last report, as soon as it is made."""

    def reported(self, context: Context, execution: Execution) -> dict[str, Any]:
        """The run report as JSON, after it was logged and written beside the outputs.

        Raises ExecutionFailedError when the execution failed, and EmptyOutputError when it wrote nothing and that is not allowed;
        the report is then the XCom ``run_report``.
        """
        history = self._hook.step_functions.history(execution.arn)
        failed = execution_status(execution.status).failed
        report = build_run_report(execution.description, history, self._jobs(job_names(history)))
        report = self.report = self._facts.added_to(report)
        self._log.info("%s", timeline(report))
        for line in figures(report):
            self._log.info("%s", line)
        links = self._links(context, report)
        if not failed:
            self._write(report)
            document = report.model_dump(mode="json")
            self._require_output(context, report, document)
            _tell_assets(context, report)
            return document
        text = failure_text(report, self._log_lines(report), links)
        report = report.model_copy(update={"failure": text})
        context["ti"].xcom_push(key=REPORT_KEY, value=report.model_dump(mode="json"))
        try:
            self._write(report)
        except AwsError as fault:  # the execution's own failure is what must be told
            self._log.error("the run report could not be written: %s", fault)
        stage = report.failed_stage
        error = report.error or (stage.error if stage else None) or ""
        raise ExecutionFailedError(execution.arn, execution.status, text, error)

    def _require_output(self, context: Context, report: RunReport, document: dict[str, Any]) -> None:
        """Raises EmptyOutputError when nothing was written; not when it is not known what was."""
        if self._allow_empty_output or report.outputs is None or report.outputs.count or not report.outputs.complete:
            return
        context["ti"].xcom_push(key=REPORT_KEY, value=document)
        raise EmptyOutputError(
            report.execution_arn,
            f"it SUCCEEDED and wrote nothing below {report.output_uri}",
            "at least one object",
            "see in its last job's log why, and whether the script writes into /opt/ml/processing/output; a model that "
            "may write nothing says so with allow_empty_output: true in its card",
        )

    def _jobs(self, names: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        """The jobs' descriptions. One that can't be described is reported from the history alone."""
        jobs = {}
        for name in names:
            try:
                jobs[name] = self._hook.sagemaker.describe_job(name)
            except AwsError as fault:
                self._log.warning("the report knows less of job %s: %s", name, fault)
        return jobs

    def _links(self, context: Context, report: RunReport) -> dict[str, str]:
        """The pages of the execution, and of its last job and that one's log, if there was a job."""
        pages = {"execution page": execution_address(report.execution_arn, self._hook.local_endpoint("stepfunctions"))}
        jobs = [job for stage in report.stages for job in stage.jobs if job.job_arn]
        if jobs and jobs[-1].job_arn:
            job, local = jobs[-1], self._hook.local_endpoint("logs")
            log_page = log_address(jobs[-1].job_arn, PROCESSING_LOG_GROUP, f"{job.job_name}/", local)
            pages["job page"] = job_address(jobs[-1].job_arn, self._hook.local_endpoint("sagemaker"))
            pages["job log"] = log_page
            JobLogsLink.push(context, log_page)
        return pages

    def _write(self, report: RunReport) -> None:
        if not report.output_uri:
            self._log.warning("the run report is not written: the execution's input has no output_uri")
            return
        place = S3Uri.parse(report.output_uri).child(f"_stepbridge/{report.execution_name}.json")
        self._hook.s3.write(place, report.model_dump_json(indent=2).encode(), "application/json")
        self._log.info("run report: %s", place)

    def _log_lines(self, report: RunReport) -> dict[str, list[str]]:
        """The last lines of the failed stage's job; a note in their place when they can't be read."""
        stage = report.failed_stage
        if stage is None or not stage.job_name:
            return {}
        try:
            return {stage.job_name: self._hook.logs.job_lines(stage.job_name, LAST_LINES)}
        except NotFoundError:
            return {}
        except AwsError as fault:
            return {stage.job_name: [f"(the log can't be read: {fault})"]}


def _tell_assets(context: Context, report: RunReport) -> None:
    """Give the events of the task's assets the report's key figures, for those who are triggered by them."""
    for outlet in context["task"].outlets:
        if isinstance(outlet, Asset):
            context["outlet_events"][outlet].extra.update(report.key_figures)
