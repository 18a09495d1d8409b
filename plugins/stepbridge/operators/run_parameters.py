"""A run's parameters, rendered: from the form, the model card or the DAG file."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from airflow.sdk import Context
from airflow.sdk.definitions.param import ParamsDict

from stepbridge.core.fields import FORM_KEYS
from stepbridge.errors import ExecutionInputError
from stepbridge.hooks.task_instance import describe_task
from stepbridge.operators.base import StepbridgeOperator, unrendered
from stepbridge.operators.form_templates import TEMPLATE_FAILURES, is_the_dags_own, rendered_from_form


class ParameterisedOperator(StepbridgeOperator):
    """Base of the operators that need values of a run's execution input.

    :param parameters: values of the execution input; by default the run's parameters in ``FORM_KEYS``.
        Jinja expressions in them are rendered when the task runs: a run's parameters hold the model card's templates.
        A value that comes from the form may use only what ``form_templates.ALLOWED`` names.
    """

    def __init__(self, *, parameters: Mapping[str, Any] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.parameters = None if parameters is None else dict(parameters)
        # Read now: when the task runs, Airflow has written the run's conf over them.
        of_dag = ParamsDict(self.dag.params if self.has_dag() else {})  # type: ignore[no-untyped-call]
        # The values as they are: to validate each again would take half of the time that parsing the cards takes.
        self._declared = {
            name: params.get_param(name).value for params in (of_dag, ParamsDict(self.params)) for name in params
        }

    def run_parameters(self, context: Context, keys: Iterable[str] = FORM_KEYS) -> dict[str, Any]:
        """The values of ``keys`` that the run has, rendered. Raises ExecutionInputError with all that can't be."""
        given = self.parameters
        if given is None:
            given = {key: context["params"][key] for key in keys if key in context["params"]}
        rendered, problems = {}, []
        for key, value in given.items():
            try:
                rendered[key] = self._rendered_value(context, key, value)
            except ExecutionInputError as error:
                problems += [replace(problem, where=key) for problem in error.problems]
        if problems:
            raise ExecutionInputError(f"parameters of {describe_task(context)}", problems)
        return rendered

    def _rendered_value(self, context: Context, key: str, value: Any) -> Any:
        """The author of the DAG may use the whole context; a user who fills in the form may not."""
        if self.parameters is not None or is_the_dags_own(context, self._declared, key, value):
            return self.render_template(value, context)
        if isinstance(value, list | tuple):
            return [self._rendered_from_form(context, each) for each in value]
        return self._rendered_from_form(context, value)

    def _rendered_from_form(self, context: Context, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return rendered_from_form(value, self.with_local_dates(context), self.deployed)
        except TEMPLATE_FAILURES as error:
            raise ExecutionInputError("form", [unrendered(value, context, error)]) from error
