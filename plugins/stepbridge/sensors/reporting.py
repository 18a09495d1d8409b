"""The end of an execution told: run report, timeline, links, and the failure with its log lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from stepbridge.aws.arns import S3Uri
from stepbridge.aws.faults import AwsFault, NotFound
from stepbridge.aws.logs import PROCESSING_LOG_GROUP
from stepbridge.aws.step_functions import Execution
from stepbridge.core.run_report import RunReport, build_run_report, failure_text, job_names, timeline
from stepbridge.core.statuses import execution_status
from stepbridge.links.addresses import log_address
from stepbridge.links.stepbridge import JobLogsLink
from stepbridge.sensors.faults import ExecutionFailed

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.sdk.types import Logger

    from stepbridge.hooks.stepbridge import StepbridgeHook

__all__ = ["REPORT_KEY", "Reporter"]

REPORT_KEY: Final = "run_report"
LAST_LINES: Final = 50


class Reporter:
    """Reports executions that have ended."""

    def __init__(self, hook: StepbridgeHook, log: Logger) -> None:
        self._hook = hook
        self._log = log

    def reported(self, context: Context, execution: Execution) -> dict[str, Any]:
        """The run report as JSON, after it was logged and written beside the outputs.

        Raises ExecutionFailed when the execution failed; the report is then the XCom ``run_report``.
        """
        history = self._hook.step_functions.history(execution.arn)
        failed = execution_status(execution.status).failed
        report = build_run_report(execution.description, history, self._jobs(job_names(history)))
        document = report.model_dump(mode="json")
        self._log.info("%s", timeline(report))
        self._link_logs(context, report)
        if not failed:
            self._write(report)
            return document
        context["ti"].xcom_push(key=REPORT_KEY, value=document)
        try:
            self._write(report)
        except AwsFault as fault:  # the execution's own failure is what must be told
            self._log.error("the run report could not be written: %s", fault)
        raise ExecutionFailed(execution.arn, execution.status, failure_text(report, self._log_lines(report)))

    def _jobs(self, names: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        """The jobs' descriptions. One that can't be described is reported from the history alone."""
        jobs = {}
        for name in names:
            try:
                jobs[name] = self._hook.sagemaker.describe_job(name)
            except AwsFault as fault:
                self._log.warning("the report knows less of job %s: %s", name, fault)
        return jobs

    def _link_logs(self, context: Context, report: RunReport) -> None:
        jobs = [job for stage in report.stages for job in stage.jobs if job.job_arn]
        if jobs and jobs[-1].job_arn:
            local = self._hook.local_endpoint("logs")
            prefix = f"{jobs[-1].job_name}/"
            JobLogsLink.push(context, log_address(jobs[-1].job_arn, PROCESSING_LOG_GROUP, prefix, local))

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
        except NotFound:
            return {}
        except AwsFault as fault:
            return {stage.job_name: [f"(the log can't be read: {fault})"]}
