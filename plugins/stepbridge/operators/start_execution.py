"""StartExecutionOperator: the run's execution is under way, and exactly one."""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import jinja2
from airflow.sdk.definitions.param import ParamsDict
from airflow.sdk.exceptions import AirflowTaskTimeout

from stepbridge.aws.arns import execution_arn
from stepbridge.aws.faults import NameTaken, NotFound, NotRedrivable
from stepbridge.core.execution_input import ExecutionInput, parse_execution_input
from stepbridge.core.start_decision import ABSENT, Adopt, Identity, Look, Redrive, Sighting, Start, next_step
from stepbridge.core.statuses import execution_status
from stepbridge.errors import ExecutionInputError, Problem
from stepbridge.hooks.kill import HANDLER_SECONDS, PATIENCE_SECONDS, KillStop
from stepbridge.hooks.task_instance import record_execution, who
from stepbridge.links.addresses import execution_address
from stepbridge.links.stepbridge import ExecutionLink
from stepbridge.operators.base import StepbridgeOperator
from stepbridge.operators.faults import StartKilled
from stepbridge.operators.form_templates import is_the_dags_own, rendered_from_form
from stepbridge.operators.start_notes import Names, Standing, TakenUp
from stepbridge.triggers.endings import KILLED, STOPPED

if TYPE_CHECKING:
    from airflow.sdk import Context

__all__ = ["FORM_KEYS", "StartExecutionOperator"]

FORM_KEYS: Final = ("input_uri", "output_uri", "instance_type", "volume_size", "max_runtime", "stages")
"""The parameters of a run that become keys of its execution input."""

LOOKS: Final = 5
LOOK_SECONDS: Final = 1.0


class StartExecutionOperator(StepbridgeOperator):
    """Start the execution of a model for one DAG run, or find the one that an earlier try started; return its ARN.

    The name follows from model, DAG run, map index, clear number, attempt and input, so a retry finds what was started
    before it. What is done about it is ``core.start_decision``.

    :param image_uri: the model's image, pinned by digest. (templated)
    :param code_uri: the S3 prefix with the scripts. (templated)
    :param parameters: values of the execution input; by default the run's parameters, of which ``FORM_KEYS`` count.
        Jinja expressions in them are rendered when the task runs: a run's parameters hold the model card's templates.
        One that is not the DAG's own but comes from the form may use only what ``form_templates.ALLOWED`` names.
    :param environment: environment of every stage. (templated)
    :param tags: tags of every Processing job. (templated)
    """

    template_fields: Sequence[str] = (
        *StepbridgeOperator.template_fields, "image_uri", "code_uri", "environment", "tags",
    )  # fmt: skip
    operator_extra_links = (ExecutionLink(),)

    def __init__(
        self,
        *,
        image_uri: str | None,
        code_uri: str | None,
        parameters: Mapping[str, Any] | None = None,
        environment: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.image_uri = image_uri
        self.code_uri = code_uri
        self.parameters = None if parameters is None else dict(parameters)
        self.environment = dict(environment or {})
        self.tags = dict(tags or {})
        self._declared = ParamsDict(self.params, suppress_exception=True).dump()
        self._started: tuple[str, str] | None = None
        self._killed = False

    def execute(self, context: Context) -> str:
        """The execution's ARN. Raises ExecutionInputError with all problems before it is started, and ``AwsFault``."""
        execution_input = self.execution_input(context)
        arn = self._settled(context, execution_input)
        address = execution_address(arn, self.hook.local_endpoint("stepfunctions"))
        ExecutionLink.push(context, address)
        self.log.info("execution: %s", arn)
        self.log.info("look at it: %s", address)
        return arn

    def on_kill(self) -> None:
        """Stop the execution that this try started or redrove; one that it only found goes on.

        Airflow calls it on SIGTERM, in the middle of whatever runs, and lets that go on: a start that was under way is
        stopped once it is done. What is started stays this try's own until its process ends: a task can be marked as
        failed between the start and Airflow's knowing that it has succeeded.
        """
        self._killed = True
        if self._started:
            self._stop(*self._started)

    def _stop(self, arn: str, name: str, seconds: float = HANDLER_SECONDS) -> None:
        why = "past its execution_timeout" if isinstance(sys.exc_info()[1], AirflowTaskTimeout) else "by SIGTERM"
        cause = f"killed in the worker, {why}: {name}"
        self.log.warning("stopping %s: %s", arn, cause)
        try:
            KillStop(self.hook, arn, KILLED, cause).done(seconds)
        except NotFound:
            self.log.info("there was nothing to stop: the kill came before the call that starts it")

    def _refuse_if_killed(self) -> None:
        """After a kill nothing may be started; what was started nevertheless is stopped. Raises StartKilled."""
        if self._killed:
            arn, name = self._started or ("no execution", "this task")
            if self._started:
                self._stop(arn, name, PATIENCE_SECONDS)
            raise StartKilled(arn, f"{name} was killed, so its execution was not left running")

    # --- the input ----------------------------------------------------------------------------------------------------
    def execution_input(self, context: Context) -> ExecutionInput:
        """The input of this run, rendered and checked. Raises ExecutionInputError."""
        given = self.parameters
        if given is None:
            given = {key: context["params"][key] for key in FORM_KEYS if key in context["params"]}
        values = {
            "model": self.model,
            "role": self.deployed.processing_role_arn,
            "scikit_image_uri": self.deployed.scikit_image_uri,
            "custom_image_uri": self.image_uri or None,
            "code_uri": self.code_uri or None,
            "environment": self.environment,
            "tags": self.tags,
            **self._rendered(context, given),
        }
        return parse_execution_input(values, f"parameters of {who(context)}")

    def _rendered(self, context: Context, given: Mapping[str, Any]) -> dict[str, Any]:
        rendered, problems = {}, []
        for key, value in given.items():
            try:
                rendered[key] = self._rendered_value(context, key, value)
            except jinja2.TemplateError as error:
                problems.append(_unrendered(context, key, value, error))
        if problems:
            raise ExecutionInputError(f"parameters of {who(context)}", problems)
        return rendered

    def _rendered_value(self, context: Context, key: str, value: Any) -> Any:
        """The author of the DAG may use the whole context, whoever fills in the form may not."""
        if self.parameters is not None or is_the_dags_own(context, self._declared, key, value):
            return self.render_template(value, context)
        if isinstance(value, list | tuple):
            items = (
                rendered_from_form(each, context, self.deployed) if isinstance(each, str) else each for each in value
            )
            return list(items)
        return rendered_from_form(value, context, self.deployed) if isinstance(value, str) else value

    # --- the execution ------------------------------------------------------------------------------------------------
    def _settled(self, context: Context, execution_input: ExecutionInput) -> str:
        """The ARN of the execution that stands for this run, after whatever had to be done for it."""
        if (standing := Standing(context)).arn:
            # Airflow took the record of the last try away; a kill may come before this one knows more.
            record_execution(context, standing.arn, self.aws_conn_id, self.hook.region_name)
        names = Names(self.model, context, execution_input.digest())
        taken_up = TakenUp(context, names.clear_number, execution_input.digest())
        seen: dict[Identity, Sighting] = {}
        while True:
            step = next_step(names.clear_number, seen, taken_up.identity())
            arn = execution_arn(self.deployed.state_machine_arn, names.of(step.at))
            match step:
                case Look(at):
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
                    seen[at] = Sighting(seen[at].status, "NOT_REDRIVABLE")
                case Start(at):
                    if self._begun(context, names.of(at), arn, execution_input):
                        return arn
                    seen[at] = self._seen_surely(arn)

    def _seen(self, arn: str) -> Sighting:
        try:
            execution = self.hook.step_functions.describe(arn)
        except NotFound as fault:
            if fault.code == "ExecutionDoesNotExist":
                return ABSENT
            raise
        self.log.info("found %s: %s %s", arn, execution.status, execution.redrive_status_reason)
        return Sighting(execution.status, execution.redrive_status)

    def _seen_surely(self, arn: str) -> Sighting:
        """An execution whose name is taken exists; DescribeExecution may take a moment to know."""
        for _ in range(LOOKS):
            sighting = self._seen(arn)
            if sighting.exists:
                return sighting
            time.sleep(LOOK_SECONDS)
        raise NotFound(
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
            cause = f"superseded by {new}, since the input has changed: {who(context)}"
            self.log.warning("stopping %s: %s", old, cause)
            self.hook.step_functions.stop(old, STOPPED, cause)
        except NotFound:
            self.log.info("%s was never started", old)

    def _begun(self, context: Context, name: str, arn: str, execution_input: ExecutionInput) -> bool:
        """Whether it was started (or runs with the same input); False: the name stands for one that has ended."""
        self._record(context, arn)
        self._started = (arn, who(context))  # before the call: a kill may come while its answer is under way
        self._refuse_if_killed()
        try:
            self.hook.step_functions.start(self.deployed.state_machine_arn, name, execution_input.to_json())
        except NameTaken:
            self._started = None
            return False
        self._refuse_if_killed()
        self.log.info("started %s with %s", name, execution_input.to_json())
        return True

    def _redriven(self, context: Context, arn: str) -> bool:
        """Whether it was redriven; False: the service refuses to."""
        token = hashlib.sha256(f"{arn} {who(context)}".encode()).hexdigest()
        self._record(context, arn)
        self._started = (arn, who(context))
        self._refuse_if_killed()
        try:
            at = self.hook.step_functions.redrive(arn, token)
        except NotRedrivable as fault:
            self._started = None
            self.log.warning("%s", fault)
            return False
        self._refuse_if_killed()
        self.log.info("redriven at %s: the stages that finished are not run again", at)
        return True


def _unrendered(context: Context, key: str, value: object, error: jinja2.TemplateError) -> Problem:
    if isinstance(error, jinja2.UndefinedError) and context.get("logical_date") is None:
        return Problem(
            key,
            f"{value!r} cannot be rendered: {error.message}, since this run has no logical date",
            "a run with a logical date, or a value without dates",
            "trigger the DAG with a logical date, or write the whole value into the form",
        )
    return Problem(key, f"{value!r} cannot be rendered: {error.message}", "a Jinja expression that Airflow can render")
