"""ExecutionSensor: waits for an execution without holding a worker, and reports what it did."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseSensorOperator, Context, PokeReturnValue
from airflow.sdk.exceptions import AirflowSensorTimeout

from stepbridge.aws.arns import state_machine_arn
from stepbridge.aws.step_functions import Execution
from stepbridge.core.deployment import DEPLOYMENT_TEMPLATE, DeploymentDocumentError, parse_deployment
from stepbridge.core.statuses import execution_status
from stepbridge.errors import TRANSIENT_ERRORS, ConfigurationError
from stepbridge.hooks.lineage import Lineage, LineageMixin
from stepbridge.hooks.task_instance import describe_task, record_execution
from stepbridge.links.addresses import execution_address
from stepbridge.links.stepbridge import ExecutionLink, JobLogsLink
from stepbridge.operators.retry_policy import ModelRetryPolicy
from stepbridge.sensors.errors import WaitTimeoutError, WatchError
from stepbridge.sensors.redrive import Redriver
from stepbridge.sensors.report import ReportPublisher
from stepbridge.sensors.stop import ExecutionStop
from stepbridge.triggers.deferral import deadline_has_passed, defer_until_end
from stepbridge.triggers.poll_interval import SHORTEST_SECONDS, backoff_seconds, poll_interval, with_jitter
from stepbridge.triggers.poller import hook_of
from stepbridge.triggers.state_changes import StateChanges

if TYPE_CHECKING:
    from stepbridge.hooks.stepbridge import StepbridgeHook


class ExecutionSensor(LineageMixin, BaseSensorOperator):
    """Wait for an execution; return its run report, which is also written to ``_stepbridge/`` under its output.

    A failed execution raises ExecutionFailedError with the stage, the job, its exit message and its last log lines. A
    retry of this task redrives the execution then, so that finished stages are not run again. The deadline is
    ``timeout`` after the execution was started or last redriven, however often the wait was interrupted. Past it, and
    when the task is killed, the execution is stopped.

    :param execution_arn: the execution. (templated)
    :param model: the model's name, for the cause of a stop.
    :param deferrable: wait in the triggerer; else in a worker, with a log line for each state change.
    :param allow_empty_output: whether an execution may succeed that wrote nothing; else it raises EmptyOutputError.
    :param prices: what an instance hour costs, by instance type; by default the Airflow Variable ``stepbridge_prices``.
    :param events_queue_url: the SQS queue that receives ends of the state machine's executions; by default the
        deployment's, for executions of its state machine. An empty text: ends are found by polling. (templated)
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
        self.retry_policy = self.retry_policy or ModelRetryPolicy()
        self.execution_arn = execution_arn
        self.model = model
        self.deferrable = deferrable
        self.allow_empty_output = allow_empty_output
        self.prices = dict(prices or {})
        self.events_queue_url = events_queue_url
        self.deployment = deployment
        self.aws_conn_id = aws_conn_id
        self.region_name = region_name
        self._age_seconds = 0.0
        self._failures = 0
        self._not_before = 0.0

    @cached_property
    def hook(self) -> StepbridgeHook:
        """The hook, in the execution's region."""
        return hook_of(vars(self))

    @cached_property
    def _redriver(self) -> Redriver:
        return Redriver(self.hook.step_functions, self.log, self._context)

    @cached_property
    def _stop(self) -> ExecutionStop:
        waiter = describe_task(self._context) + (f" (model {self.model})" if self.model else "")
        return ExecutionStop(self.hook, self.log, self.execution_arn, waiter, self._context["ti"])

    @cached_property
    def _state_changes(self) -> StateChanges:
        return StateChanges(self.hook.step_functions, self.execution_arn, self.hook.logs)

    def execute(self, context: Context) -> Any:
        """The run report as JSON. Raises ExecutionFailedError, WaitTimeoutError, WatchError and ``AwsError``."""
        if not self.execution_arn:
            raise ConfigurationError(
                f"execution_arn of {describe_task(context)}", "empty", "an execution's ARN", "clear start_execution"
            )
        self._begin(context)
        if self.deferrable and self._redriver.is_first_try:
            # It was started a moment ago. Not described: if hundreds began together, that would be throttled.
            return self._defer(context, self.timeout)
        execution = self._redriver.at_begin(self.hook.step_functions.describe(self.execution_arn))
        return self._report_or_defer(context, execution) if self.deferrable else self._wait_in_worker(context)

    def resume(self, context: Context, event: dict[str, Any]) -> Any:
        """Called in the worker with the event that the trigger fired. Raises as ``execute`` does."""
        self.execution_arn = self.execution_arn or event["execution_arn"]  # start_execution may just be tried again
        self._begin(context)
        if event["fault"]:
            raise WatchError(
                self.execution_arn,
                event["fault"],
                "to be able to watch it",
                "the execution goes on by itself; the task's retry waits for it again",
            )
        execution = self.hook.step_functions.describe(self.execution_arn)
        execution = self._redriver.after_stop_for_another_try(execution)
        return self._report_or_defer(context, execution)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Called by Airflow after the deferral; past the deadline the execution is stopped."""
        if deadline_has_passed(next_method, next_kwargs):
            self._begin(context)
            return self._report_or_defer(context, self.hook.step_functions.describe(self.execution_arn))
        return super().resume_execution(next_method, next_kwargs, context)

    def on_kill(self) -> None:
        """Stop the execution. Airflow calls it on SIGTERM, in the main thread, and past ``execution_timeout``."""
        self._stop.kill(self.execution_timeout)

    def _begin(self, context: Context) -> None:
        """What each process does that takes up the task: its name, the link, and the listener's record."""
        self._context = context
        self.lineage = Lineage(self.execution_arn)
        local = self.hook.local_endpoint("stepfunctions")
        ExecutionLink.push(context, execution_address(self.execution_arn, local))
        record_execution(context, self.execution_arn, self.aws_conn_id, self.region_name)

    def _report_or_defer(self, context: Context, execution: Execution) -> Any:
        if execution_status(execution.status).terminal:
            return self._report(context, execution)
        return self._defer(context, self._stop.seconds_left(execution, self.timeout))

    def _defer(self, context: Context, seconds: float) -> Any:
        self.log.info("waiting for %s in the triggerer", self.execution_arn)
        defer_until_end(self, context, self.execution_arn, self.end_events_queue_url(), seconds)

    def end_events_queue_url(self) -> str:
        """The queue that will receive the execution's end; empty when there is none. Never fails a wait."""
        if self.events_queue_url is not None or not self.deployment:
            return self.events_queue_url or ""
        try:
            deployed = parse_deployment(self.deployment)
        except DeploymentDocumentError as error:
            self.log.warning("the end is found by polling: %s", error)
            return ""
        of_deployment = deployed.state_machine_arn == state_machine_arn(self.execution_arn)
        return deployed.events_queue_url or "" if of_deployment else ""

    def _report(self, context: Context, execution: Execution) -> Any:
        self._redriver.reported(execution)
        publisher = ReportPublisher(self.hook, self.log, allow_empty_output=self.allow_empty_output, prices=self.prices)
        try:
            return publisher.publish(context, execution)
        finally:
            if publisher.report:
                self.lineage = Lineage.of_report(publisher.report)

    # --- deferrable=False: the wait in a worker -----------------------------------------------------------------------
    def _wait_in_worker(self, context: Context) -> Any:
        """The report, after polling here. Airflow's timeout counts from the start of the task; only ours, which counts
        from the start of the execution, ends the wait."""
        while True:
            try:
                return super().execute(context)
            except WaitTimeoutError:
                raise
            except AirflowSensorTimeout:
                execution = self.hook.step_functions.describe(self.execution_arn)
                if execution_status(execution.status).terminal:
                    return self._report(context, execution)
                self._stop.seconds_left(execution, self.timeout)

    def poke(self, context: Context) -> PokeReturnValue:
        """Called by Airflow once a second: checks for a kill each time, and polls when a poll is due."""
        self._stop.raise_if_killed()
        if time.monotonic() < self._not_before:
            return PokeReturnValue(is_done=False)
        if execution := self._polled_execution():
            if execution_status(execution.status).terminal and not self._stop.killed:
                execution = self._redriver.after_stop_for_another_try(execution)
            if execution_status(execution.status).terminal:
                return PokeReturnValue(is_done=True, xcom_value=self._report(context, execution))
            self._stop.seconds_left(execution, self.timeout)
            self._age_seconds = (datetime.now(UTC) - execution.latest_start).total_seconds()
        seconds = backoff_seconds(self._failures) if self._failures else poll_interval(self._age_seconds)
        self._not_before = time.monotonic() + with_jitter(seconds)
        return PokeReturnValue(is_done=False)

    def _polled_execution(self) -> Execution | None:
        """The execution, with its changes of state logged; None after an error that passes by itself."""
        try:
            execution = self.hook.step_functions.describe(self.execution_arn)
            for line in self._state_changes.new_lines():
                self.log.info("%s", line)
        except TRANSIENT_ERRORS as error:
            self._failures += 1
            self.log.warning("%s", error)
            return None
        self._failures = 0
        return execution

    def _get_next_poke_interval(self, *_args: Any, **_kwargs: Any) -> float:
        """Seconds to Airflow's next ``poke``, which itself knows when the next poll is due."""
        return SHORTEST_SECONDS
