"""What a template in a run's form may use."""

from __future__ import annotations

import json
import resource
import time
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import jinja2
import pendulum
import pytest
from airflow.sdk import DAG
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.core.test_deployment import VALUES as DEPLOYED

from stepbridge.core.deployment import Deployment
from stepbridge.errors import ExecutionInputError
from stepbridge.operators.form_templates import LONGEST, TEMPLATE_FAILURES, is_the_dags_own, rendered_from_form
from stepbridge.operators.retry_policy import decide
from stepbridge.operators.start_execution import StartExecutionOperator

DAY = pendulum.datetime(2013, 7, 1)
DEPLOYMENT = Deployment.model_construct(bucket="the-bucket")


class Secrets:
    """Stands where Airflow's accessors of connections and Variables stand."""

    def __getattr__(self, name: str) -> Any:
        return self

    def __str__(self) -> str:
        return "secret"


def context(logical_date: datetime | None = DAY) -> Any:
    dates = (
        {}
        if logical_date is None
        else {
            "ds": "2013-07-01",
            "logical_date": logical_date,
            "data_interval_start": logical_date,
            "ts_nodash": "20130701T0",
            "local_ds_nodash": "20130630",
        }
    )
    return {
        **dates,
        "run_id": "manual__1",
        "dag_run": SimpleNamespace(
            logical_date=logical_date, run_id="manual__1", run_type="manual", conf={"secret": "secret"}
        ),
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


EXPRESSIONS = [
    ("{{ data_interval_start | ds }}", "2013-07-01"),
    ("{{ logical_date.subtract(days=1) | ds_nodash }}", "20130630"),
    ("{{ logical_date.in_timezone('Asia/Tokyo') | ts }}", "2013-07-01T09:00:00+09:00"),
    ("{{ logical_date.start_of('month').strftime('%-d') }}", "1"),
    ("{{ ds ~ 'x' }}{{ 's3' + '-x' }}", "2013-07-01xs3-x"),
    ("{{ ds[:4] }}{{ ds[-2:] }}{{ params.stages[-1] }}", "201301preprocessing"),
    ("{{ ds.replace('-', '/') }}{{ ds | replace('-', '') | upper }}", "2013/07/0120130701"),
    ("{{ params.other | default(ds) }}{{ params.get('other', 'z') }}{{ params.other | d('') or 'y' }}", "2013-07-01zy"),
    ("{{ ds if dag_run.run_type == 'manual' else local_ds }}", "2013-07-01"),
    ("{{ 'a' if run_id == 'manual__1' else 'b' }}{{ 1 - -1 }}", "a2"),
    ("{# a comment #}{{ local_ds_nodash }}", "20130630"),
]


@pytest.mark.parametrize(("template", "expected"), EXPRESSIONS)
def test_expressions_that_people_write(template: str, expected: str) -> None:
    """Filters and methods of dates and texts, slices, defaults."""
    assert rendered_from_form(template, context(), DEPLOYMENT) == expected


REFUSED = [
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
    # time and memory
    "{% for i in range(10 ** 9) %}{% endfor %}",
    "{% macro again() %}{{ again() }}{% endmacro %}{{ again() }}",
    "{% set x = 'a' %}{{ x }}",
    "{{ '{:>900000000}'.format(1) }}",
    "{{ '%900000000d' % 1 }}",
    "{{ '%900000000d' | format(1) }}",
    "{{ 'a' * 10 ** 9 }}",
    "{{ 10 ** 10 ** 8 }}",
    "{{ 'a' | center(900000000) }}",
    "{{ 'a' | indent(900000000) }}",
    "{{ 'a'.ljust(900000000) }}",
    "{{ range(10 ** 9) | list }}",
    "{{ cycler('a').next() }}",
    "{{ lipsum(n=100000) }}",
    "{{ logical_date.strftime('%900000000Y') }}",
    "{{ logical_date.strftime('%_900000000Y') }}",
    "{{ 'aaaa'.replace('a', '" + "b" * 1500 + "') }}",
    "{{ params.stages | tojson(indent=900000000) }}",
    "{{ " + "(" * 900 + "1" + ")" * 900 + " }}",
    "{{ " + "-" * 900 + "1 }}",
    "x" * 5000,
    # whatever else fails
    "{{ ds + 1 }}",
    "{{ params.stages[7] }}",
    "{{ params[params] }}",
    "{{ params }}",
    "{{ none }}",
    "{{ 1e999 | int }}",
    "{{ 1 / 0 }}",
    "{{ ds | ts }}",
    "{{ logical_date.subtract(days=9999999) }}",
    "{{ logical_date.subtract(decades=1) }}",
    "{{ logical_date.replace(month=13) }}",
    "{{ logical_date.in_timezone('../../etc/passwd') }}",
]


@pytest.mark.parametrize("template", REFUSED)
def test_a_form_knows_and_does_nothing_else(template: str) -> None:
    """No connection, Variable, XCom or Python object is within reach, and nothing takes time or memory."""
    began, peak = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(TEMPLATE_FAILURES) as raised:
        rendered_from_form(template, context(), DEPLOYMENT)
    assert str(raised.value)
    assert time.process_time() - began < 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 100_000  # KB


WORDS = """
ds logical_date params run_id 'a' 9 ( ) [ ] { } . , : | ~ + - * ** % / // == if else or not in is replace strftime add
days= format join center range default ds_nodash {{ }} {% %} {# #} __class__ '%900000000Y' \\ " é for do
"""


@given(st.lists(st.sampled_from(sorted(set(WORDS.split()))), max_size=30), st.sampled_from(["", " ", "\n"]))
def test_any_template_gives_a_text_or_a_failure(pieces: list[str], between: str) -> None:
    """Whatever is typed into the form, as it stands and as an expression."""
    template = between.join(pieces)
    for text in (template, "{{ " + template + " }}"):
        try:
            rendered = rendered_from_form(text, context(), DEPLOYMENT)
        except TEMPLATE_FAILURES:
            continue
        assert len(rendered) <= LONGEST


def task(**dag: Any) -> StartExecutionOperator:
    """The start of a DAG, with one parameter for a form."""
    with DAG("sales", schedule=None, params={"input_uri": "s3://b/{{ ds }}/"}, **dag):
        return StartExecutionOperator(
            task_id="start", model="sales", image_uri=None, code_uri=None, deployment=json.dumps(DEPLOYED)
        )


@pytest.mark.parametrize(
    "template", ["{{ ds + 1 }}", "{{ params.input_uri[0] / 0 }}", "{{ nothing }}", "{{ (", "{{ [][1] }}"]
)
@pytest.mark.parametrize("conf", [{}, {"input_uri": ""}])
def test_every_failure_is_an_execution_input_error(template: str, conf: dict[str, str]) -> None:
    """From the card as from the form: one problem, which names parameter and template, and no retry."""
    start = task()
    start._declared["input_uri"] = template
    run: Any = context()
    run["dag_run"].conf = dict.fromkeys(conf, template)
    run["params"] = {"input_uri": template}
    run["ti"] = SimpleNamespace(dag_id="sales", task_id="start", run_id="r", map_index=-1, try_number=1)
    if conf:
        start._declared["input_uri"] = "s3://b/"
    with pytest.raises(ExecutionInputError) as raised:
        start.run_parameters(run, ["input_uri"])
    (problem,) = raised.value.problems
    assert problem.where == "input_uri"
    assert repr(template) in problem.found
    assert decide(raised.value).action.name == "FAIL"


@pytest.mark.parametrize(
    ("zone", "moment", "day"),
    [
        ("Asia/Tokyo", datetime(2013, 6, 30, 17, 30, tzinfo=UTC), "2013-07-01"),
        ("America/New_York", datetime(2013, 7, 1, 3, 59, tzinfo=UTC), "2013-06-30"),
        ("UTC", datetime(2013, 7, 1, 3, 59, tzinfo=UTC), "2013-07-01"),
    ],
)
def test_local_dates_are_those_of_the_zone(zone: str, moment: datetime, day: str) -> None:
    """Of the DAG's zone or the operator's own; of the logical date, else of the partition."""
    start = task(start_date=pendulum.datetime(2013, 1, 1, tz=zone))
    template = "{{ local_ds }} {{ local_ds_nodash }}"
    for key in ("logical_date", "partition_date"):
        assert start.render_template([template], {key: moment}) == [f"{day} {day.replace('-', '')}"]  # type: ignore[arg-type]
    start.timezone = "UTC"
    assert start.render_template(template, {"logical_date": moment}).startswith(f"{moment:%Y-%m-%d}")  # type: ignore[arg-type]


def test_mapped_tasks_have_local_dates() -> None:
    """In what they are mapped over."""
    with DAG("sales", schedule=None, start_date=pendulum.datetime(2013, 1, 1, tz="Asia/Tokyo")) as dag:
        mapped = StartExecutionOperator.partial(
            task_id="start", model="sales", image_uri=None, code_uri=None, deployment="{}"
        ).expand(environment=[{"DAY": "{{ local_ds }}"}, {"DAY": "{{ local_ds_nodash }}"}])
    for map_index, day in enumerate(("2013-07-01", "20130701")):
        run: Any = {
            "logical_date": pendulum.datetime(2013, 6, 30, 17),
            "ti": SimpleNamespace(map_index=map_index, is_mapped=True),
            "task": mapped,
            "dag": dag,
            "dag_run": SimpleNamespace(conf={}),
            "run_id": "manual__1",
            "params": {},
        }
        mapped.render_template_fields(run)
        assert run["task"].environment == {"DAY": day}


def test_a_run_without_a_date_has_no_local_ds() -> None:
    """A template that asks for it says so."""
    with pytest.raises(ExecutionInputError, match="'local_ds' is undefined, since this run has no logical date"):
        task().render_template("{{ local_ds }}", {})  # type: ignore[typeddict-item]


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
