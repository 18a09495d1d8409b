"""Publishes the run report of an execution that has ended: log, links, XCom, and JSON beside the outputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from airflow.sdk import Asset, Context

from stepbridge.aws.logs import PROCESSING_LOG_GROUP
from stepbridge.aws.step_functions import Execution
from stepbridge.core.run_report import PricesError, RunReport, failure_text, figures, timeline
from stepbridge.core.statuses import execution_status
from stepbridge.errors import AwsError
from stepbridge.hooks.prices import configured_prices
from stepbridge.links.addresses import execution_address, job_address, log_address
from stepbridge.links.stepbridge import JobLogsLink
from stepbridge.reporting.run_report import gather_report, last_log_lines, write_report
from stepbridge.sensors.errors import EmptyOutputError, ExecutionFailedError

if TYPE_CHECKING:
    from airflow.sdk.types import Logger

    from stepbridge.hooks.stepbridge import StepbridgeHook

__all__ = ["ReportPublisher"]

REPORT_KEY: Final = "run_report"


class ReportPublisher:
    """``prices`` go before the Airflow Variable ``stepbridge_prices``."""

    def __init__(
        self, hook: StepbridgeHook, log: Logger, *, allow_empty_output: bool, prices: Mapping[str, float]
    ) -> None:
        self._hook = hook
        self._log = log
        self._allow_empty_output = allow_empty_output
        self._prices = prices
        self.report: RunReport | None = None
        """The report, as soon as it is made."""

    def publish(self, context: Context, execution: Execution) -> dict[str, Any]:
        """The run report as JSON.

        Raises ExecutionFailedError when the execution failed, EmptyOutputError when it wrote nothing but should have;
        the report is then the XCom ``run_report``. Also raises ``AwsError``.
        """
        aws = self._hook
        report, gaps = gather_report(aws.step_functions, aws.sagemaker, aws.s3, execution, self._known_prices())
        self.report = report
        for line in gaps:
            self._log.warning("%s", line)
        for line in (timeline(report), *figures(report)):
            self._log.info("%s", line)
        pages = self._pages(context, report)
        if execution_status(execution.status).failed:
            self._publish_failure(context, report, pages)
        self._write(report)
        self._require_output(context, report)
        for outlet in context["task"].outlets:  # for the DAGs that the asset's event triggers
            if isinstance(outlet, Asset):
                context["outlet_events"][outlet].extra.update(report.key_figures)
        return report.model_dump(mode="json")

    def _publish_failure(self, context: Context, report: RunReport, pages: Mapping[str, str]) -> None:
        """Raises ExecutionFailedError."""
        text = failure_text(report, last_log_lines(self._hook.logs, report), pages)
        report = report.model_copy(update={"failure": text})
        context["ti"].xcom_push(key=REPORT_KEY, value=report.model_dump(mode="json"))
        try:
            self._write(report)
        except AwsError as error:  # the execution's own failure is what counts
            self._log.error("the run report could not be written: %s", error)
        stage = report.failed_stage
        name = report.error or (stage.error if stage else None) or ""
        raise ExecutionFailedError(report.execution_arn, report.status, text, name)

    def _write(self, report: RunReport) -> None:
        uri = write_report(self._hook.s3, report)
        self._log.info("run report: %s", uri or "not written, since the execution's input has no output_uri")

    def _known_prices(self) -> Mapping[str, float]:
        try:
            return self._prices or configured_prices()
        except PricesError as error:
            self._log.error("the report has no cost: %s", error)
            return {}

    def _require_output(self, context: Context, report: RunReport) -> None:
        """Raises EmptyOutputError when nothing was written; not when the output could not be listed."""
        if self._allow_empty_output or report.outputs is None or report.outputs.count or not report.outputs.complete:
            return
        context["ti"].xcom_push(key=REPORT_KEY, value=report.model_dump(mode="json"))
        raise EmptyOutputError(
            report.execution_arn,
            f"it SUCCEEDED and wrote nothing below {report.output_uri}",
            "at least one object",
            "see in its last job's log why, and whether the script writes into /opt/ml/processing/output; a model that "
            "may write nothing says so with allow_empty_output: true in its card",
        )

    def _pages(self, context: Context, report: RunReport) -> dict[str, str]:
        """The addresses of the execution, and of its last job and that job's log, if there was a job."""
        pages = {"execution page": execution_address(report.execution_arn, self._hook.local_endpoint("stepfunctions"))}
        jobs = [(job.job_arn, job.job_name) for stage in report.stages for job in stage.jobs if job.job_arn]
        if jobs:
            arn, name = jobs[-1]
            pages["job page"] = job_address(arn, self._hook.local_endpoint("sagemaker"))
            log_page = log_address(arn, PROCESSING_LOG_GROUP, f"{name}/", self._hook.local_endpoint("logs"))
            pages["job log"] = log_page
            JobLogsLink.push(context, log_page)
        return pages
