"""ExecutionSensor: waits for an execution without holding a worker, and reports what it did."""

from __future__ import annotations

import hashlib
import random
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseSensorOperator, PokeReturnValue
from airflow.sdk.bases.operator import TRIGGER_FAIL_REPR, TriggerFailureReason
from airflow.sdk.exceptions import AirflowSensorTimeout, AirflowTaskTimeout

from stepbridge.aws.arns import region_of, state_machine_arn
from stepbridge.aws.step_functions import Execution
from stepbridge.core.deployment import DEPLOYMENT_TEMPLATE, DeploymentDocumentError, parse_deployment
from stepbridge.core.start_decision import REDRIVABLE
from stepbridge.core.statuses import execution_status
from stepbridge.errors import ConfigurationError, NotRedrivableError
from stepbridge.hooks.lineage import Lineage
from stepbridge.hooks.stop_thread import STOP_TIMEOUT_SECONDS, StopThread
from stepbridge.hooks.task_instance import describe_task, record_execution
from stepbridge.links.addresses import execution_address
from stepbridge.links.stepbridge import ExecutionLink, JobLogsLink
from stepbridge.reporting.reporter import Reporter
from stepbridge.sensors.errors import WaitKilledError, WaitTimeoutError, WatchError
from stepbridge.triggers.deferral import settle_seconds
from stepbridge.triggers.execution import ExecutionTrigger
from stepbridge.triggers.poll_interval import SHORTEST_SECONDS, backoff_seconds, poll_interval, with_jitter
from stepbridge.triggers.state_changes import StateChanges
from stepbridge.triggers.stop_reasons import KILLED, STOPPED, WAITING_TRY_KEY, was_stopped_for_another_try
from stepbridge.triggers.watcher import TRANSIENT_ERRORS

if TYPE_CHECKING:
    from airflow.sdk import Context

    from stepbridge.hooks.stepbridge import StepbridgeHook

__all__ = ["ExecutionSensor"]


class ExecutionSensor(BaseSensorOperator):
    """Wait for an execution; return its run report, which is also written to ``_stepbridge/`` under its output.

    A failed execution raises ExecutionFailedError with the stage, the job, its exit message and its last log lines. A retry
    of this task after that redrives the execution, so that finished stages are not run again. The deadline is
    ``timeout`` after the execution was started or last redriven, whatever happens to the wait in between; past it, and
    when the task is killed, the execution is stopped.

    :param execution_arn: the execution. (templated)
    :param model: the model's name, told in the cause of a stop; the execution's own input has it in any case.
    :param deferrable: wait in the triggerer; else in a worker, with a log line for each state change.
    :param allow_empty_output: whether an execution may succeed that wrote nothing; else it raises EmptyOutputError.
    :param prices: what an instance hour costs, by instance type; by default the Airflow Variable ``stepbridge_prices``.
    :param events_queue_url: the SQS queue that ends of the state machine's executions are sent to; by default the
        deployment's, for executions of its state machine. An empty text: ends are only looked for. (templated)
    :param deployment: the deployment document, as JSON; by default the Airflow Variable ``stepbridge``. (templated)
    :param timeout: seconds or timedelta; by default Airflow's ``[sensors] default_timeout``, seven days.
    :param aws_conn_id: the Airflow connection; None means boto3's own search for credentials.
    :param region_name: the region, if not the execution's own.
    """

    template_fields: Sequence[str] = ("execution_arn", "events_queue_url", "deployment")
    operator_extra_links = (ExecutionLink(), JobLogsLink())
    valid_modes = ("poke",)
    ui_color = "#d9ead3"

    def __init__(
        self,
        *,
        execution_arn: str,
        model: str = "",
        deferrable: bool = True,
        allow_empty_output: bool = False,
        prices: Mapping[str, float] | None = None,
        events_queue_url: str | None = None,
        deployment: str | dict[str, Any] = DEPLOYMENT_TEMPLATE,
        aws_conn_id: str | None = "aws_default",
        region_name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.execution_arn = execution_arn
        self.model = model
        self.deferrable = deferrable
        self.allow_empty_output = allow_empty_output
        self.prices = dict(prices or {})
        self.events_queue_url = events_queue_url
        self.deployment = deployment
        self.aws_conn_id = aws_conn_id
        self.region_name = region_name
        self._state_changes: StateChanges | None = None
        self._age_seconds = 0.0
        self._failures = 0
        self._not_before = 0.0
        self._killed: StopThread | None = None
        self._reporter: Reporter | None = None
        self._name = f"task {self.task_id}"

    @cached_property
    def hook(self) -> StepbridgeHook:
        """The hook, in the execution's region."""
        from stepbridge.hooks.stepbridge import StepbridgeHook  # here, since a parse shall not import boto3

        return StepbridgeHook(self.aws_conn_id, self.region_name or region_of(self.execution_arn))

    def execute(self, context: Context) -> Any:
        """The run report as JSON. Raises ExecutionFailedError, WaitTimeoutError, WatchError and ``AwsError``."""
        if not self.execution_arn:
            raise ConfigurationError(
                f"execution_arn of {describe_task(context)}", "empty", "an execution's ARN", "run start_execution again"
            )
        self._begin(context)
        if self.deferrable and context["ti"].try_number <= 1:
            # It was started a moment ago. Not described: where hundreds begin together that would be throttled.
            return self._deferred(context, self.timeout)
        execution = self._redriven_by_a_retry(context, self.hook.step_functions.describe(self.execution_arn))
        execution = self._redriven_after_another_trys_end(context, execution)
        if self.deferrable:
            return self._reported_or_deferred(context, execution)
        self._state_changes = StateChanges(self.hook.step_functions, self.execution_arn)
        return self._waited_for_here(context)

    def poke(self, context: Context) -> PokeReturnValue:
        """A look from the worker, when it is time for one, and a check for a kill each time.

        What passes by itself (throttling, a lost network) only makes it wait longer.
        """
        if self._killed:
            self._killed.done(STOP_TIMEOUT_SECONDS)
            raise WaitKilledError(self.execution_arn, "this task was killed, so the execution was stopped")
        if time.monotonic() < self._not_before:
            return PokeReturnValue(is_done=False)
        is_done, report = self._looked(context)
        seconds = backoff_seconds(self._failures) if self._failures else poll_interval(self._age_seconds)
        self._not_before = time.monotonic() + with_jitter(seconds, random.random())
        return PokeReturnValue(is_done=is_done, xcom_value=report)

    def _looked(self, context: Context) -> tuple[bool, Any]:
        """Whether the execution has ended, and its report."""
        try:
            execution = self.hook.step_functions.describe(self.execution_arn)
            for line in self._state_changes.new_lines() if self._state_changes else []:
                self.log.info("%s", line)
        except TRANSIENT_ERRORS as fault:
            self._failures += 1
            self.log.warning("%s", fault)
            return False, None
        self._failures = 0
        if execution_status(execution.status).terminal and not self._killed:
            execution = self._redriven_after_another_trys_end(context, execution)
        if execution_status(execution.status).terminal:
            return True, self._report(context, execution)
        self._seconds_left(execution)
        self._age_seconds = (datetime.now(UTC) - execution.latest_start).total_seconds()
        return False, None

    def resume(self, context: Context, event: dict[str, Any]) -> Any:
        """What the worker does when the trigger fired. Raises as ``execute`` does."""
        self._begin(context)
        if event["fault"]:
            raise WatchError(
                self.execution_arn,
                event["fault"],
                "to be able to watch it",
                "the execution goes on by itself; the task's retry waits for it again",
            )
        execution = self.hook.step_functions.describe(self.execution_arn)
        return self._reported_or_deferred(context, self._redriven_after_another_trys_end(context, execution))

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Called by Airflow after the deferral; past the deadline the execution is stopped."""
        error = (next_kwargs or {}).get("error")
        if next_method == TRIGGER_FAIL_REPR and error == TriggerFailureReason.TRIGGER_TIMEOUT:
            self._begin(context)
            return self._reported_or_deferred(context, self.hook.step_functions.describe(self.execution_arn))
        return super().resume_execution(next_method, next_kwargs, context)

    def on_kill(self) -> None:
        """Stop the execution. Airflow calls it on SIGTERM, in the main thread, and past ``execution_timeout``."""
        why, error = "killed in the worker by SIGTERM: marked or cleared, or the worker was told to end", KILLED
        if isinstance(sys.exc_info()[1], AirflowTaskTimeout):
            why, error = f"past its execution_timeout of {self.execution_timeout}", STOPPED
        cause = self._cause(why)
        self._killed = StopThread(self.hook, self.execution_arn, error, cause)
        self._killed.done()

    def _begin(self, context: Context) -> None:
        """What each process that takes up the task needs: its name in words, and the link."""
        self._name = describe_task(context)
        local = self.hook.local_endpoint("stepfunctions")
        ExecutionLink.push(context, execution_address(self.execution_arn, local))
        record_execution(context, self.execution_arn, self.aws_conn_id, self.region_name)

    def _waited_for_here(self, context: Context) -> Any:
        """The report, after a wait in the worker. It ends at the deadline, of which Airflow's timeout, counted from the
        start of the task, is only a reminder."""
        while True:
            try:
                return super().execute(context)
            except WaitTimeoutError:
                raise
            except AirflowSensorTimeout:
                execution = self.hook.step_functions.describe(self.execution_arn)
                if execution_status(execution.status).terminal:
                    return self._report(context, execution)
                self._seconds_left(execution)

    # --- waiting ------------------------------------------------------------------------------------------------------
    def _redriven_by_a_retry(self, context: Context, execution: Execution) -> Execution:
        """The execution, redriven if this is a retry and it has failed."""
        if context["ti"].try_number <= 1 or not execution_status(execution.status).failed:
            return execution
        if execution.redrive_status != REDRIVABLE:
            reason = execution.redrive_status_reason or "the service gives no reason"
            self.log.warning("%s can't be redriven: %s; clear start_execution for a new one", execution.arn, reason)
            return execution
        return self._redriven(execution, "retry")

    def _redriven_after_another_trys_end(self, context: Context, execution: Execution) -> Execution:
        """The execution, redriven if it was stopped because an earlier try of its tasks was ended."""
        error, cause = (str(execution.description.get(key, "")) for key in ("error", "cause"))
        if not was_stopped_for_another_try(error, cause, context["run_id"], self._name):
            return execution
        return self._redriven(execution, f"it was stopped for another try ({cause})")

    def _redriven(self, execution: Execution, why: str) -> Execution:
        """The execution as it is after a redrive, or as it was if it can't be redriven."""
        token = hashlib.sha256(f"{execution.arn} {self._name}".encode()).hexdigest()
        try:
            at = self.hook.step_functions.redrive(execution.arn, token)
        except NotRedrivableError as fault:
            self.log.warning("%s; clear start_execution for a new one", fault)
            return execution
        self.log.info("%s: redriven at %s, the stages that finished are not run again", why, at)
        return self.hook.step_functions.describe(execution.arn)

    def _reported_or_deferred(self, context: Context, execution: Execution) -> Any:
        if execution_status(execution.status).terminal:
            return self._report(context, execution)
        return self._deferred(context, self._seconds_left(execution))

    def _deferred(self, context: Context, seconds: float) -> Any:
        """Wait in the triggerer, at most so long."""
        self.log.info("waiting for %s in the triggerer", self.execution_arn)
        context["ti"].xcom_push(key=WAITING_TRY_KEY, value=context["ti"].try_number)
        return self.defer(
            trigger=ExecutionTrigger(
                execution_arn=self.execution_arn,
                aws_conn_id=self.aws_conn_id,
                region_name=self.region_name,
                settle_seconds=settle_seconds(),
                events_queue_url=self.queue_of_ends(),
            ),
            method_name="resume",
            timeout=timedelta(seconds=seconds),
        )

    def queue_of_ends(self) -> str:
        """The queue in which the execution's end will be told; empty when there is none. Never fails a wait."""
        if self.events_queue_url is not None:
            return self.events_queue_url
        if not self.deployment:
            return ""
        try:
            deployed = parse_deployment(self.deployment)
        except DeploymentDocumentError as error:
            self.log.warning("the end is only looked for: %s", error)
            return ""
        of_deployment = deployed.state_machine_arn == state_machine_arn(self.execution_arn)
        return deployed.events_queue_url or "" if of_deployment else ""

    def _seconds_left(self, execution: Execution) -> float:
        """Seconds to the deadline. Past it, stops the execution and raises WaitTimeoutError."""
        left = self.timeout - (datetime.now(UTC) - execution.latest_start).total_seconds()
        if left > 0:
            return left
        self._stop(f"it did not end within {self.timeout} s", STOPPED)
        raise WaitTimeoutError(
            f"{self.execution_arn}: still {execution.status} {self.timeout} s after its start at "
            f"{execution.latest_start.isoformat()}, so it was stopped; raise the task's timeout if it needs longer"
        )

    def _get_next_poke_interval(
        self, started_at: datetime | float, run_duration: Callable[[], float], poke_count: int
    ) -> float:
        _ = started_at, run_duration, poke_count  # the execution's own age decides how often poke looks
        return SHORTEST_SECONDS

    def _stop(self, why: str, error: str) -> None:
        self.hook.step_functions.stop(self.execution_arn, error, self._cause(why))

    def _cause(self, why: str) -> str:
        """Why it is stopped and for whom; the log has it, too."""
        of_model = f" (model {self.model})" if self.model else ""
        cause = f"{why}: {self._name}{of_model}"
        self.log.warning("stopping %s: %s", self.execution_arn, cause)
        return cause

    # --- the end ------------------------------------------------------------------------------------------------------
    def _report(self, context: Context, execution: Execution) -> Any:
        allow_empty = self.allow_empty_output
        self._reporter = Reporter(self.hook, self.log, allow_empty_output=allow_empty, prices=self.prices)
        return self._reporter.reported(context, execution)

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """The datasets with their sizes, for the OpenLineage provider: nobody else calls it."""
        _ = task_instance
        report = self._reporter.report if self._reporter else None
        lineage = Lineage.of_report(report) if report else Lineage(self.execution_arn)
        return lineage.facets()

    def get_openlineage_facets_on_failure(self, task_instance: Any) -> Any:
        """The same, as far as the execution came."""
        return self.get_openlineage_facets_on_complete(task_instance)
