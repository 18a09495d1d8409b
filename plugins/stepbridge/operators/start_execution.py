"""StartExecutionOperator: starts the run's execution, exactly one."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from airflow.sdk import Context
from airflow.sdk.configuration import conf

from stepbridge.core.execution_input import ExecutionInput, parse_execution_input
from stepbridge.core.statuses import execution_status
from stepbridge.hooks.lineage import Lineage, LineageMixin
from stepbridge.hooks.task_instance import describe_task
from stepbridge.links.addresses import execution_address
from stepbridge.links.stepbridge import ExecutionLink
from stepbridge.operators.execution_starter import ExecutionStarter
from stepbridge.operators.kill_guard import KillGuard
from stepbridge.operators.run_parameters import ParameterisedOperator
from stepbridge.triggers.deferral import deadline_has_passed, defer_until_end


class StartExecutionOperator(LineageMixin, ParameterisedOperator):
    """Start the execution of a model for one DAG run, or find the one that an earlier try started; return its ARN.

    The execution's name has a random token, which the task's state store keeps, so that a retry finds what an earlier
    try started, and no other run does. ``core.start_decision`` has the table of what is done then.

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

    @cached_property
    def _guard(self) -> KillGuard:
        return KillGuard()  # made by the copy of the operator that Airflow makes for each try

    def execute(self, context: Context) -> str:
        """The execution's ARN.

        Raises, before anything is started, ExecutionInputError with all problems, InputNotFoundError and
        TasksNotClearedError; also ``AwsError``.
        """
        execution_input = self.execution_input(context)
        self.lineage = Lineage.of_input(execution_input)
        machine_arn = self.deployed.state_machine_arn
        starter = ExecutionStarter(self.hook, self.log, self._guard, context, machine_arn, self.model)
        arn = starter.ensure_execution(execution_input)
        self.lineage = Lineage.of_input(execution_input, arn)
        address = execution_address(arn, self.hook.local_endpoint("stepfunctions"))
        ExecutionLink.push(context, address)
        self.log.info("execution: %s", arn)
        self.log.info("see it at: %s", address)
        if self.hold_until_end and not execution_status(self.hook.step_functions.describe(arn).status).terminal:
            self.log.info("holding this task's slot in pool %s until %s has ended", self.pool, arn)
            queue_url = self.deployed.events_queue_url or ""
            defer_until_end(self, context, arn, queue_url, conf.getfloat("sensors", "default_timeout"))
        return arn

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

    def on_kill(self) -> None:
        """If somebody has ended the task, stop what this try started or redrove; what it only found goes on."""
        self._guard.kill(lambda: self.hook)

    def resume(self, context: Context, event: dict[str, Any]) -> str:
        """The execution's ARN, once it has ended. Whoever waits for it reports how it ended."""
        arn: str = event["execution_arn"]
        if event["fault"]:
            self.log.warning("%s cannot be watched, so this task holds it no longer: %s", arn, event["fault"])
        self.lineage = Lineage.of_input(self.execution_input(context), arn)
        ExecutionLink.push(context, execution_address(arn, self.hook.local_endpoint("stepfunctions")))
        return arn

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Called by Airflow after the deferral; past its deadline the execution is left to its wait."""
        if deadline_has_passed(next_method, next_kwargs):
            self.hold_until_end = False
            return self.execute(context)  # which finds it
        return super().resume_execution(next_method, next_kwargs, context)
