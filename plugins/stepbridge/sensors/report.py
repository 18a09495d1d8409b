"""Publishes the run report of an execution that has ended: log, links, XCom, and JSON beside the outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NoReturn

from airflow.sdk import Asset, Context

from stepbridge.aws.arns import region_of
from stepbridge.aws.logs import PROCESSING_LOG_GROUP
from stepbridge.aws.step_functions import Execution
from stepbridge.core.run_report.cost import PricesError
from stepbridge.core.run_report.failure_text import ExecutionFailedError, failure_text, output_remedy, silence
from stepbridge.core.run_report.log_lines import key_lines, shown
from stepbridge.core.run_report.model import RunReport, StageReport
from stepbridge.core.run_report.timeline import figures, timeline
from stepbridge.core.statuses import execution_status
from stepbridge.errors import AwsError
from stepbridge.hooks.prices import configured_prices
from stepbridge.links.addresses import execution_address, job_address, log_address, objects_address
from stepbridge.links.stepbridge import JobLogsLink
from stepbridge.reporting.run_report import gather_report, input_of, log_lines, project_modules, write_report
from stepbridge.sensors.errors import EmptyOutputError

if TYPE_CHECKING:
    from airflow.sdk.types import Logger

    from stepbridge.hooks.stepbridge import StepbridgeHook

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
        if execution_status(execution.status).failed:
            self._publish_failure(context, report)
        pages = self._pages(context, report, report.stages)
        logs = log_lines(aws.logs, report.stages)
        for stage in report.stages:
            for line in key_lines(shown(logs.get(stage.job_name or "", ()))):
                self._log.info("%s | %s", stage.stage, line)
        for what, address in pages.items():
            self._log.info("%s: %s", what, address)
        self._require_output(context, report, logs)
        self._write(report)
        for outlet in context["task"].outlets:  # for the DAGs that the asset's event triggers
            if isinstance(outlet, Asset):
                context["outlet_events"][outlet].extra.update(report.key_figures)
        return report.model_dump(mode="json")

    def _publish_failure(self, context: Context, report: RunReport) -> None:
        """Raises ExecutionFailedError."""
        stage, silent = report.failed_stage, report.silent_stage
        at_fault = silent or stage
        logs = log_lines(self._hook.logs, (stage, silent))
        read = input_of(self._hook.s3, report, stage) if stage else None
        modules: Sequence[str] = ()
        if any("ModuleNotFoundError" in line for lines in logs.values() for line in lines):
            modules = project_modules(_folders(context))
        text = failure_text(report, logs, self._pages(context, report, [at_fault] if at_fault else ()), read, modules)
        name = report.error or (stage.error if stage else None) or ""
        self._fail(context, report, ExecutionFailedError(report.execution_arn, report.status, text, name))

    def _fail(self, context: Context, report: RunReport, error: Exception) -> NoReturn:
        """Raises ``error``; the report has its text."""
        report = report.model_copy(update={"failure": str(error)})
        context["ti"].xcom_push(key=REPORT_KEY, value=report.model_dump(mode="json"))
        self._write(report)
        raise error

    def _write(self, report: RunReport) -> None:
        """Write the report beside the output. An execution's own end is what counts: this never fails it."""
        try:
            uri = write_report(self._hook.s3, report)
        except AwsError as error:
            self._log.error("the run report could not be written: %s", error)
            return
        self._log.info("run report: %s", uri or "not written, since the execution's input has no output_uri")

    def _known_prices(self) -> Mapping[str, float]:
        try:
            return self._prices or configured_prices()
        except PricesError as error:
            self._log.error("the report has no cost: %s", error)
            return {}

    def _require_output(self, context: Context, report: RunReport, logs: Mapping[str, Sequence[str]]) -> None:
        """Raises EmptyOutputError when nothing was written; not when the output could not be listed."""
        if self._allow_empty_output or report.outputs is None or report.outputs.count or not report.outputs.complete:
            return
        found = f"it SUCCEEDED and wrote nothing below {report.output_uri}"
        error = EmptyOutputError(f"execution {report.execution_name}", found, "at least one object")
        remedy = "a model that may write nothing says so with allow_empty_output: true in its card"
        last = report.stages[-1] if report.stages else None
        if last:
            about = f"  job: {last.job_name} of {last.stage} is {last.status} ({last.job_arn or 'no ARN known'})"
            error.details = (about, *silence(last, logs.get(last.job_name or "", ())))
            remedy = f"{output_remedy(last)}; {remedy}"
        pages = self._pages(context, report, [last] if last else ())
        links = [f"  {what}: {address}" for what, address in pages.items()]
        error.details += (*links, f"  what to do: {remedy}")
        self._fail(context, report, error)

    def _pages(self, context: Context, report: RunReport, stages: Sequence[StageReport]) -> dict[str, str]:
        """The addresses of the execution, of the stages' jobs and their logs, and of the output."""
        local = self._hook.local_endpoint
        pages = {"execution page": execution_address(report.execution_arn, local("stepfunctions"))}
        for stage in [stage for stage in stages if stage.job_arn]:
            of = f" of {stage.stage}" if len(stages) > 1 else ""
            arn = stage.job_arn or ""
            pages[f"job page{of}"] = job_address(arn, local("sagemaker"))
            page = log_address(arn, PROCESSING_LOG_GROUP, f"{stage.job_name}/", local("logs"))
            pages[f"job log{of}"] = page
            JobLogsLink.push(context, page)
        if report.succeeded and report.output_uri:
            pages["output"] = objects_address(report.output_uri, region_of(report.execution_arn), local("s3"))
        return pages


def _folders(context: Context) -> list[str]:
    """The container and scripts folders of the DAG's tasks."""
    tasks = context["task"].dag.tasks if context["task"].dag else ()
    found = (getattr(task, name, None) for task in tasks for name in ("context_folder", "scripts_folder"))
    return [folder for folder in found if folder]
