"""StartExecutionOperator: the run's execution is under way, and exactly one."""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from airflow.sdk.bases.operator import TRIGGER_FAIL_REPR, TriggerFailureReason
from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import AirflowTaskTimeout

from stepbridge.aws.arns import S3Uri, execution_arn
from stepbridge.core.execution_input import ExecutionInput, parse_execution_input
from stepbridge.core.start_decision import ABSENT, Adopt, Describe, Identity, Redrive, Snapshot, Start, next_step
from stepbridge.core.statuses import execution_status
from stepbridge.errors import AccessDeniedError, AlreadyExistsError, NotFoundError, NotRedrivableError
from stepbridge.hooks.lineage import Lineage
from stepbridge.hooks.stop_thread import HANDLER_TIMEOUT_SECONDS, STOP_TIMEOUT_SECONDS, StopThread
from stepbridge.hooks.task_instance import describe_task, record_execution
from stepbridge.links.addresses import execution_address
from stepbridge.links.stepbridge import ExecutionLink
from stepbridge.operators.errors import InputNotFoundError, StartKilledError
from stepbridge.operators.run_parameters import ParameterisedOperator
from stepbridge.operators.start_state import Names, Standing, TakenUp
from stepbridge.triggers.deferral import settle_seconds
from stepbridge.triggers.execution import ExecutionTrigger
from stepbridge.triggers.stop_reasons import KILLED, STOPPED, WAITING_TRY_KEY

if TYPE_CHECKING:
    from airflow.sdk import Context

__all__ = ["StartExecutionOperator"]

LOOKS: Final = 5
LOOK_SECONDS: Final = 1.0


class StartExecutionOperator(ParameterisedOperator):
    """Start the execution of a model for one DAG run, or find the one that an earlier try started; return its ARN.

    The name follows from model, DAG run, map index, clear number, attempt and input, so a retry finds what was started
    before it. What is done about it is ``core.start_decision``.

    :param image_uri: the model's image, pinned by digest. (templated)
    :param code_uri: the S3 prefix with the scripts. (templated)
    :param parameters: values of the execution input; see ParameterisedOperator.
    :param environment: environment of every stage. (templated)
    :param tags: tags of every Processing job. (templated)
    :param hold_until_end: go on, deferred, until the execution has ended. In an Airflow pool that counts deferred tasks
        this task then holds its slot for as long as the execution runs, and the pool's limit is exact.
    """

    template_fields: Sequence[str] = (
        *ParameterisedOperator.template_fields, "image_uri", "code_uri", "environment", "tags",
    )  # fmt: skip
    operator_extra_links = (ExecutionLink(),)

    def __init__(
        self,
        *,
        image_uri: str | None,
        code_uri: str | None,
        environment: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
        hold_until_end: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.image_uri = image_uri
        self.code_uri = code_uri
        self.environment = dict(environment or {})
        self.tags = dict(tags or {})
        self.hold_until_end = hold_until_end
        self._lineage = Lineage()
        self._started: tuple[str, str] | None = None
        self._killed = False

    def execute(self, context: Context) -> str:
        """The execution's ARN.

        Raises, before anything is started, ExecutionInputError with all problems and InputNotFoundError; and ``AwsError``.
        """
        execution_input = self.execution_input(context)
        self._lineage = Lineage.of_input(execution_input)
        arn = self._settled(context, execution_input)
        self._lineage = Lineage.of_input(execution_input, arn)
        address = execution_address(arn, self.hook.local_endpoint("stepfunctions"))
        ExecutionLink.push(context, address)
        self.log.info("execution: %s", arn)
        self.log.info("look at it: %s", address)
        if self.hold_until_end:
            self._hold(context, arn)
        return arn

    def resume(self, context: Context, event: dict[str, Any]) -> str:
        """The execution's ARN, once it has ended. How it ended is for whoever waits for it to say."""
        arn: str = event["execution_arn"]
        if event["fault"]:
            self.log.warning("%s cannot be watched, so this task holds it no longer: %s", arn, event["fault"])
        self._lineage = Lineage.of_input(self.execution_input(context), arn)
        ExecutionLink.push(context, execution_address(arn, self.hook.local_endpoint("stepfunctions")))
        return arn

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Called by Airflow after the deferral; past its deadline the execution is left to whoever waits for it."""
        error = (next_kwargs or {}).get("error")
        if next_method == TRIGGER_FAIL_REPR and error == TriggerFailureReason.TRIGGER_TIMEOUT:
            self.hold_until_end = False
            return self.execute(context)  # which finds it by its name
        return super().resume_execution(next_method, next_kwargs, context)

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """The datasets and the execution's ARN, for the OpenLineage provider: nobody else calls it."""
        _ = task_instance
        return self._lineage.facets()

    def get_openlineage_facets_on_failure(self, task_instance: Any) -> Any:
        """The same, as far as it is known."""
        return self.get_openlineage_facets_on_complete(task_instance)

    def _hold(self, context: Context, arn: str) -> None:
        """Defer until the execution has ended; return if it has."""
        if execution_status(self.hook.step_functions.describe(arn).status).terminal:
            return
        self.log.info("holding this task's slot in pool %s until %s has ended", self.pool, arn)
        context["ti"].xcom_push(key=WAITING_TRY_KEY, value=context["ti"].try_number)
        self.defer(
            trigger=ExecutionTrigger(
                execution_arn=arn,
                aws_conn_id=self.aws_conn_id,
                region_name=self.region_name,
                settle_seconds=settle_seconds(),
                events_queue_url=self.deployed.events_queue_url or "",
            ),
            method_name="resume",
            timeout=timedelta(seconds=conf.getfloat("sensors", "default_timeout")),
        )

    def on_kill(self) -> None:
        """Stop the execution that this try started or redrove; one that it only found goes on.

        Airflow calls it on SIGTERM, in the middle of whatever runs, and lets that go on: a start that was under way is
        stopped once it is done. What is started stays this try's own until its process ends: a task can be marked as
        failed between the start and Airflow's knowing that it has succeeded.
        """
        self._killed = True
        if self._started:
            self._stop(*self._started)

    def _stop(self, arn: str, name: str, seconds: float = HANDLER_TIMEOUT_SECONDS) -> None:
        why = "past its execution_timeout" if isinstance(sys.exc_info()[1], AirflowTaskTimeout) else "by SIGTERM"
        cause = f"killed in the worker, {why}: {name}"
        self.log.warning("stopping %s: %s", arn, cause)
        try:
            StopThread(self.hook, arn, KILLED, cause).done(seconds)
        except NotFoundError:
            self.log.info("there was nothing to stop: the kill came before the call that starts it")

    def _refuse_if_killed(self) -> None:
        """After a kill nothing may be started; what was started nevertheless is stopped. Raises StartKilledError."""
        if self._killed:
            arn, name = self._started or ("no execution", "this task")
            if self._started:
                self._stop(arn, name, STOP_TIMEOUT_SECONDS)
            raise StartKilledError(arn, f"{name} was killed, so its execution was not left running")

    # --- the input ----------------------------------------------------------------------------------------------------
    def execution_input(self, context: Context) -> ExecutionInput:
        """The input of this run, rendered and checked. Raises ExecutionInputError."""
        values = {
            "model": self.model,
            "role": self.deployed.processing_role_arn,
            "scikit_image_uri": self.deployed.scikit_image_uri,
            "custom_image_uri": self.image_uri or None,
            "code_uri": self.code_uri or None,
            "environment": self.environment,
            "tags": self.tags,
            **self.run_parameters(context),
        }
        return parse_execution_input(values, f"parameters of {describe_task(context)}")

    # --- the execution ------------------------------------------------------------------------------------------------
    def _settled(self, context: Context, execution_input: ExecutionInput) -> str:
        """The ARN of the execution that stands for this run, after whatever had to be done for it."""
        if (standing := Standing(context)).arn:
            # Airflow took the record of the last try away; a kill may come before this one knows more.
            record_execution(context, standing.arn, self.aws_conn_id, self.hook.region_name)
        names = Names(self.model, context, execution_input.digest())
        taken_up = TakenUp(context, names.clear_number, execution_input.digest())
        seen: dict[Identity, Snapshot] = {}
        while True:
            step = next_step(names.clear_number, seen, taken_up.identity())
            arn = execution_arn(self.deployed.state_machine_arn, names.of(step.at))
            match step:
                case Describe(at):
                    seen[at] = self._seen(arn)
                case Adopt(at):
                    taken_up.remember(at)
                    self._record(context, arn)
                    self.log.info("%s is there already: waiting for it instead of paying twice", arn)
                    return arn
                case Redrive(at):
                    taken_up.remember(at)
                    if self._redriven(context, arn):
                        return arn
                    seen[at] = Snapshot(seen[at].status, "NOT_REDRIVABLE")
                case Start(at):
                    self._require_input(execution_input.input_uri)
                    if self._begun(context, names.of(at), arn, execution_input):
                        return arn
                    seen[at] = self._seen_surely(arn)

    def _require_input(self, uri: str) -> None:
        """Raises InputNotFoundError when there is nothing below ``uri``; what can't be listed may be there."""
        try:
            if self.hook.s3.holds_objects(S3Uri.parse(uri)):
                return
        except AccessDeniedError as fault:
            self.log.warning("whether there is input is not known, so the execution is started without: %s", fault)
            return
        raise InputNotFoundError(
            f"input_uri {uri}",
            "there is no object whose key begins like that, so nothing was started",
            "at least one object, other than the marks of folders",
            "put the data there or correct input_uri, then clear this task; a model whose data may come late waits "
            "for it with wait_for_input in its card",
        )

    def _seen(self, arn: str) -> Snapshot:
        try:
            execution = self.hook.step_functions.describe(arn)
        except NotFoundError as fault:
            if fault.code == "ExecutionDoesNotExist":
                return ABSENT
            raise
        self.log.info("found %s: %s %s", arn, execution.status, execution.redrive_status_reason)
        return Snapshot(execution.status, execution.redrive_status)

    def _seen_surely(self, arn: str) -> Snapshot:
        """An execution whose name is taken exists; DescribeExecution may take a moment to know."""
        for _ in range(LOOKS):
            snapshot = self._seen(arn)
            if snapshot.exists:
                return snapshot
            time.sleep(LOOK_SECONDS)
        raise NotFoundError(
            f"states:DescribeExecution on {arn}",
            f"its name is taken, but it was not found in {LOOKS} looks",
            "DescribeExecution to know what StartExecution knows",
            "run the task again",
        )

    def _record(self, context: Context, arn: str) -> None:
        """Say what is about to be started or has been found, and end what stood for this task before it, if it runs.

        That is so when the input has changed in between: the run would pay for two, and wait for one.
        """
        record_execution(context, arn, self.aws_conn_id, self.hook.region_name)
        standing = Standing(context)
        if standing.arn not in (None, arn):
            self._supersede(context, standing.arn, arn)
        standing.remember(arn)

    def _supersede(self, context: Context, old: str, new: str) -> None:
        try:
            if execution_status(self.hook.step_functions.describe(old).status).terminal:
                return
            cause = f"superseded by {new}, since the input has changed: {describe_task(context)}"
            self.log.warning("stopping %s: %s", old, cause)
            self.hook.step_functions.stop(old, STOPPED, cause)
        except NotFoundError:
            self.log.info("%s was never started", old)

    def _begun(self, context: Context, name: str, arn: str, execution_input: ExecutionInput) -> bool:
        """Whether it was started (or runs with the same input); False: the name stands for one that has ended."""
        self._record(context, arn)
        self._started = (arn, describe_task(context))  # before the call: a kill may come while its answer is under way
        self._refuse_if_killed()
        try:
            self.hook.step_functions.start(self.deployed.state_machine_arn, name, execution_input.to_json())
        except AlreadyExistsError:
            self._started = None
            return False
        self._refuse_if_killed()
        self.log.info("started %s with %s", name, execution_input.to_json())
        return True

    def _redriven(self, context: Context, arn: str) -> bool:
        """Whether it was redriven; False: the service refuses to."""
        token = hashlib.sha256(f"{arn} {describe_task(context)}".encode()).hexdigest()
        self._record(context, arn)
        self._started = (arn, describe_task(context))
        self._refuse_if_killed()
        try:
            at = self.hook.step_functions.redrive(arn, token)
        except NotRedrivableError as fault:
            self._started = None
            self.log.warning("%s", fault)
            return False
        self._refuse_if_killed()
        self.log.info("redriven at %s: the stages that finished are not run again", at)
        return True
