"""Jinja typed into a run's form, rendered in a sandbox.

Anybody who may trigger a DAG may type a template into its form. The author of a model card or a DAG file may read all
that Airflow's tasks may read, connections and Variables included; a user of the form may not. So a value from the form
is rendered in a sandbox that knows the run's dates and names, its parameters and the deployment document only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, Final

import jinja2
from airflow.sdk import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from stepbridge.core.deployment import Deployment

__all__ = ["ALLOWED", "is_the_dags_own", "rendered_from_form"]

# Only plain values: none of them leads to an object of Airflow's.
_DATES: Final = (
    "ds", "ds_nodash", "ts", "ts_nodash", "ts_nodash_with_tz", "logical_date", "data_interval_start",
    "data_interval_end", "run_id",
)  # fmt: skip
ALLOWED: Final = (*_DATES, "dag_run.logical_date", "dag_run.run_id", "params", "var.json.stepbridge")
"""What a template in the form may use."""


def is_the_dags_own(context: Context, declared: Mapping[str, Any], key: str, value: object) -> bool:
    """Whether the parameter is as its author ``declared`` it: the run's conf lacks it, or says the same.

    Airflow writes the run's conf into the DAG's own parameters, so ``declared`` has to be taken when the DAG is parsed;
    of a mapped task it was not, and there the conf alone counts.
    """
    if key not in (context["dag_run"].conf or {}):
        return True
    if context["ti"].map_index not in (None, -1) or key not in declared:
        return False
    return type(declared[key]) is type(value) and declared[key] == value


def rendered_from_form(template: str, context: Context, deployment: Deployment) -> str:
    """The text that the form's template gives. Raises jinja2.TemplateError for whatever it may not use."""
    run = context["dag_run"]
    allowed = {
        **{name: context[name] for name in _DATES if context.get(name) is not None},
        "dag_run": SimpleNamespace(logical_date=run.logical_date, run_id=run.run_id),
        "params": json.loads(json.dumps(dict(context["params"]), default=str)),
        "var": SimpleNamespace(json=SimpleNamespace(stepbridge=json.loads(deployment.to_json()))),
    }
    environment = ImmutableSandboxedEnvironment(undefined=_NotAllowed, autoescape=False)
    return environment.from_string(template).render(allowed)


class _NotAllowed(jinja2.StrictUndefined):
    """A name that a form's template may not use, or that this run does not have."""

    @property
    def _undefined_message(self) -> str:
        return f"{super()._undefined_message} for a value from the form, which may use {', '.join(ALLOWED)}"
