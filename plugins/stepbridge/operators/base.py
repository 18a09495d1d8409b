"""Base of stepbridge's operators: the deployment they act on, and the hook they act through."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, cast

import jinja2
import pendulum
from airflow.sdk import BaseOperator, Context

from stepbridge.core.deployment import DEPLOYMENT_TEMPLATE, Deployment, parse_deployment
from stepbridge.core.names import STAGES
from stepbridge.errors import ConfigurationError, ExecutionInputError, Problem
from stepbridge.operators.form_templates import TEMPLATE_FAILURES
from stepbridge.operators.retry_policy import ModelRetryPolicy

if TYPE_CHECKING:
    from stepbridge.hooks.stepbridge import StepbridgeHook

CONTAINER_STAGE: Final = "inference"
"""The stage that runs in the model's own image; the others run a script of their name."""


class StepbridgeOperator(BaseOperator):
    """Base of the operators that use what ``stepbridge deploy`` made.

    :param model: the model's name.
    :param deployment: the deployment document, as JSON; by default the Airflow Variable ``stepbridge``. (templated)
    :param aws_conn_id: the Airflow connection; None means boto3's own search for credentials.
    :param region_name: overrides the deployment's region.
    :param stages: the stages to run; by default the run's parameter ``stages``, else all.
    :param timezone: the IANA time zone of ``local_ds`` and ``local_ds_nodash`` in templates; by default the DAG's.
    """

    template_fields: Sequence[str] = ("deployment",)
    ui_color = "#d9ead3"

    def __init__(
        self,
        *,
        model: str,
        deployment: str | dict[str, Any] = DEPLOYMENT_TEMPLATE,
        aws_conn_id: str | None = "aws_default",
        region_name: str | None = None,
        stages: Sequence[str] | None = None,
        timezone: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.retry_policy = self.retry_policy or ModelRetryPolicy()
        self.timezone = timezone
        self.model = model
        self.deployment = deployment
        self.aws_conn_id = aws_conn_id
        self.region_name = region_name
        self.stages = None if stages is None else tuple(stages)

    def render_template(self, content: Any, context: Context, *args: Any, **kwargs: Any) -> Any:
        """As Airflow renders it, mapped tasks too, with ``local_dates``. Raises ExecutionInputError, not retried."""
        if not isinstance(content, str):
            return super().render_template(content, context, *args, **kwargs)
        try:
            return super().render_template(content, self.with_local_dates(context), *args, **kwargs)
        except TEMPLATE_FAILURES as error:
            raise ExecutionInputError("templates", [unrendered(content, context, error)]) from error

    def with_local_dates(self, context: Context) -> Context:
        """The context with ``local_ds`` and ``local_ds_nodash``, unless the run has no date.

        They are the date in ``timezone`` of the run's logical date, or else of its partition.
        """
        moment = context.get("logical_date") or context.get("partition_date")
        if moment is None:
            return context
        zone = pendulum.timezone(self.timezone) if self.timezone else self.dag.timezone
        day = moment.astimezone(zone)
        return cast(Context, {**context, "local_ds": f"{day:%Y-%m-%d}", "local_ds_nodash": f"{day:%Y%m%d}"})

    def wanted_stages(self, context: Context) -> tuple[str, ...]:
        """The stages that this run is to run."""
        if self.stages is not None:
            return self.stages
        return tuple(context["params"].get("stages") or STAGES)

    @cached_property
    def deployed(self) -> Deployment:
        """The deployment. Raises DeploymentDocumentError when it is invalid, ConfigurationError when there is none."""
        if not self.deployment:
            raise ConfigurationError(
                "Airflow Variable 'stepbridge'",
                "it is not set",
                "the JSON document that `stepbridge deploy` prints",
                "run `stepbridge deploy --output deployment.json`, "
                'then `airflow variables set stepbridge "$(cat deployment.json)"`',
            )
        return parse_deployment(self.deployment)

    @cached_property
    def hook(self) -> StepbridgeHook:
        """The hook, in the deployment's region. Raises ConfigurationError when it would reach another AWS.

        Without that check, a connection that lost the local AWS's endpoint_url would reach a real account.
        """
        # Imported here: boto3 and the provider take half a second, which parsing a DAG file should not cost.
        from stepbridge.hooks.stepbridge import StepbridgeHook

        hook = StepbridgeHook(self.aws_conn_id, self.region_name or self.deployed.region)
        if self.deployed.endpoint_url and not hook.local_endpoint("stepfunctions"):
            raise ConfigurationError(
                f"Airflow connection {self.aws_conn_id!r}",
                "it leads to AWS itself",
                f"the endpoint of the deployment, {self.deployed.endpoint_url}",
                "set endpoint_url in the connection's extra, or deploy to AWS with `stepbridge deploy`",
            )
        return hook


def unrendered(template: object, context: Context, error: BaseException) -> Problem:
    """The problem of a template that could not be rendered."""
    found = f"{template!r} cannot be rendered: {error or type(error).__name__}"
    if isinstance(error, jinja2.UndefinedError) and context.get("logical_date") is None:
        return Problem(
            "template",
            f"{found}, since this run has no logical date",
            "a run with a logical date, or a value without dates",
            "trigger the DAG with a logical date, or write the whole value into the form",
        )
    return Problem("template", found, "Jinja expressions that Airflow can render")
