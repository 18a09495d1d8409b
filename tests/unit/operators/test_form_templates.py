"""What a template in a run's form may use."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import jinja2
import pytest

from stepbridge.core.deployment import Deployment
from stepbridge.operators.form_templates import is_the_dags_own, rendered_from_form

DAY = datetime(2013, 7, 1, tzinfo=UTC)
DEPLOYMENT = Deployment.model_construct(bucket="the-bucket")


class Secrets:
    """Stands where Airflow's accessors of connections and Variables stand."""

    def __getattr__(self, name: str) -> Any:
        return self

    def __str__(self) -> str:
        return "secret"


def context(logical_date: datetime | None = DAY) -> Any:
    dates = (
        {} if logical_date is None else {"ds": "2013-07-01", "logical_date": logical_date, "ts_nodash": "20130701T0"}
    )
    return {
        **dates,
        "run_id": "manual__1",
        "dag_run": SimpleNamespace(logical_date=logical_date, run_id="manual__1", conf={"secret": "secret"}),
        "params": {"stages": ["preprocessing"], "input_uri": "{{ conn.aws_default.password }}"},
        "conn": Secrets(),
        "var": Secrets(),
        "ti": Secrets(),
        "macros": Secrets(),
    }


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("s3://b/{{ ds }}/", "s3://b/2013-07-01/"),
        ("s3://b/{{ logical_date.strftime('%Y/%m') }}/", "s3://b/2013/07/"),
        ("s3://b/{{ dag_run.logical_date.year }}/{{ run_id }}/", "s3://b/2013/manual__1/"),
        ("s3://{{ var.json.stepbridge.bucket }}/{{ params.stages[0] }}/", "s3://the-bucket/preprocessing/"),
        ("s3://b/{{ params.input_uri }}", "s3://b/{{ conn.aws_default.password }}"),  # a value, rendered no further
        ("s3://b/plain/", "s3://b/plain/"),
    ],
)
def test_a_form_knows_dates_names_and_the_deployment(template: str, expected: str) -> None:
    """What people need to say where data is."""
    assert rendered_from_form(template, context(), DEPLOYMENT) == expected


@pytest.mark.parametrize(
    "template",
    [
        "s3://b/{{ conn.aws_default.password }}",
        "s3://b/{{ var.value.api_key }}",
        "s3://b/{{ var.json.other }}",
        "s3://b/{{ ti.xcom_pull() }}",
        "s3://b/{{ macros.datetime }}",
        "s3://b/{{ dag_run.conf.secret }}",
        "s3://b/{{ dag.params }}",
        "s3://b/{{ params.__class__.__mro__ }}",
        "s3://b/{{ logical_date.__reduce__() }}",
        "s3://b/{{ ''.__class__ }}",
        "s3://b/{% include 'etc/passwd' %}",
        "s3://b/{{ ds",
    ],
)
def test_a_form_knows_nothing_else(template: str) -> None:
    """No connection, Variable, XCom or Python object is within its reach."""
    with pytest.raises((jinja2.TemplateError, TypeError)):
        rendered_from_form(template, context(), DEPLOYMENT)


def test_what_may_be_used_is_said() -> None:
    """The error tells what there is."""
    with pytest.raises(jinja2.UndefinedError, match=r"'conn' is undefined for a value from the form.* ds, .*params"):
        rendered_from_form("{{ conn.a }}", context(), DEPLOYMENT)


def test_a_run_without_a_logical_date_has_no_ds() -> None:
    """It is not rendered as something else."""
    with pytest.raises(jinja2.UndefinedError, match="'ds' is undefined"):
        rendered_from_form("s3://b/{{ ds }}/", context(None), DEPLOYMENT)


@pytest.mark.parametrize(
    ("conf", "map_index", "value", "own"),
    [
        ({}, -1, "s3://b/{{ ds }}/", True),
        ({"input_uri": "s3://b/{{ ds }}/"}, -1, "s3://b/{{ ds }}/", True),
        ({"input_uri": "s3://c/{{ ds }}/"}, -1, "s3://c/{{ ds }}/", False),
        ({"input_uri": "s3://b/{{ ds }}/"}, 0, "s3://b/{{ ds }}/", False),
    ],
)
def test_only_the_declared_value_is_the_dags_own(conf: dict[str, str], map_index: int, value: str, own: bool) -> None:
    """Whatever differs was typed into the form."""
    run: Any = {"dag_run": SimpleNamespace(conf=conf), "ti": SimpleNamespace(map_index=map_index)}
    assert is_the_dags_own(run, {"input_uri": "s3://b/{{ ds }}/"}, "input_uri", value) is own
