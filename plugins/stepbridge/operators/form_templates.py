"""Jinja expressions typed into a run's form, evaluated by what they may be.

The author of a model card or a DAG file may read all that Airflow's tasks may read, and run code; whoever may trigger a
DAG by its form may not. So of a value from the form only the syntax is Jinja's: what it may hold is listed here, knows
the run's dates, names and parameters and the deployment document, and takes time and memory by its length.
"""

import json
import operator
import re
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any, Final

import jinja2
from airflow.sdk import Context
from airflow.sdk.definitions._internal.templater import FILTERS as DATE_FILTERS
from jinja2 import nodes
from jinja2.exceptions import SecurityError

from stepbridge.core.deployment import Deployment

TEMPLATE_FAILURES: Final = (
    jinja2.TemplateError, ArithmeticError, AttributeError, LookupError, MemoryError, RecursionError, TypeError,
    ValueError,
)  # fmt: skip
"""What a template that cannot be rendered ends with. It would end so again."""

LONGEST: Final = 4096
"""Characters that the template and each text on the way may have. An S3 URI has at most 1024."""

MOST_TOKENS: Final = 500
"""Words, signs and spaces that the template may have, so that it is not nested deeply."""

# Only plain values: none of them leads to an object of Airflow's.
_NAMES: Final = (
    "ds", "ds_nodash", "ts", "ts_nodash", "ts_nodash_with_tz", "local_ds", "local_ds_nodash", "logical_date",
    "data_interval_start", "data_interval_end", "run_id",
)  # fmt: skip
ALLOWED: Final = (
    *_NAMES, "dag_run.logical_date", "dag_run.run_id", "dag_run.run_type", "params", "var.json.stepbridge",
)  # fmt: skip
"""What a template in the form may use."""

_ATTRIBUTES: Final = {"year", "month", "day", "hour", "minute", "second", "day_of_week", "day_of_year", "week_of_year"}
_METHODS: Final = {
    date: "strftime format isoformat isoweekday weekday date replace add subtract start_of end_of in_timezone in_tz",
    str: "lower upper title strip lstrip rstrip replace removeprefix removesuffix split startswith endswith",
    dict: "get",
}
_FILTERS: Final[Mapping[str, Callable[..., Any]]] = {
    **DATE_FILTERS, "lower": str.lower, "upper": str.upper, "trim": str.strip, "replace": str.replace, "string": str,
    "int": int, "first": operator.itemgetter(0), "last": operator.itemgetter(-1),
}  # fmt: skip
_WIDTH: Final = re.compile(r"%[^A-Za-z%]*\d")  # %900000000Y is a year of that many digits


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


def rendered_from_form(template: str, context: Mapping[str, Any], deployment: Deployment) -> str:
    """The text that the form's template gives. Raises one of ``TEMPLATE_FAILURES`` for whatever it may not use."""
    run = context["dag_run"]
    names = {
        **{name: context[name] for name in _NAMES if context.get(name) is not None},
        "dag_run": {name: getattr(run, name) for name in ("logical_date", "run_id", "run_type")},
        "params": json.loads(json.dumps(dict(context["params"]), default=str)),
        "var": {"json": {"stepbridge": json.loads(deployment.to_json())}},
    }
    environment = jinja2.Environment(autoescape=False)
    if sum(1 for _ in environment.lex(_bounded(template))) > MOST_TOKENS:
        raise SecurityError(f"a value from the form may have {MOST_TOKENS} words and signs, spaces among them")
    parts: list[nodes.Node] = []
    for node in environment.parse(template).body:
        if not isinstance(node, nodes.Output):
            raise SecurityError("a value from the form may hold {{ expressions }}, no {% statements %}")
        parts += node.nodes
    return _text(nodes.Concat(parts), names)


def _text(node: nodes.Concat, names: Mapping[str, Any]) -> str:
    values = [_value(part, names) for part in node.nodes]
    if wrong := [value for value in values if not isinstance(value, str | int | float | date)]:
        raise TypeError(f"an expression gives a {type(wrong[0]).__name__}, not a text, a number or a date")
    return str(_bounded("".join(map(str, values))))


def _bounded(value: Any) -> Any:
    if isinstance(value, str) and len(value) > LONGEST:
        raise ValueError(f"it has {len(value)} characters; a value from the form may have {LONGEST}")
    return value


def _value(node: nodes.Node, names: Mapping[str, Any]) -> Any:
    """The value of an expression, in one visit of each of its parts."""

    def of(inner: Any) -> Any:
        return None if inner is None else _value(inner, names)

    match node:
        case nodes.TemplateData(data=value) | nodes.Const(value=value):
            return value
        case nodes.Name(name=name):
            return _member(names, name)
        case nodes.Getattr(node=inner, attr=name):
            return _member(of(inner), name)
        case nodes.Getitem(node=inner, arg=nodes.Slice(start=start, stop=stop, step=None)):
            return of(inner)[of(start) : of(stop)]
        case nodes.Getitem(node=inner, arg=key):
            return _member(of(inner), of(key))
        case nodes.Call(node=nodes.Getattr(node=inner, attr=name), dyn_args=None, dyn_kwargs=None):
            named = {each.key: of(each.value) for each in node.kwargs}
            return _bounded(_called(of(inner), name, [of(each) for each in node.args], named))
        case nodes.Filter(node=inner, name="default" | "d", args=[otherwise], kwargs=[]):
            try:
                return of(inner)
            except jinja2.UndefinedError:
                return of(otherwise)
        case nodes.Filter(node=inner, name=name, args=args, kwargs=[]) if name in _FILTERS:
            return _bounded(_FILTERS[name](of(inner), *map(of, args)))
        case nodes.Concat():
            return _text(node, names)
        case nodes.Neg(node=inner):
            return -of(inner)
        case nodes.Add(left=left, right=right):
            return _bounded(of(left) + of(right))
        case nodes.Sub(left=left, right=right):
            return of(left) - of(right)
        case nodes.Or(left=left, right=right):
            return of(left) or of(right)
        case nodes.CondExpr(test=test, expr1=first, expr2=second):
            return of(first) if of(test) else of(second)
        case nodes.Compare(expr=left, ops=[nodes.Operand(op="eq" | "ne" as op, expr=right)]):
            return (of(left) == of(right)) is (op == "eq")
    what = f"{type(node).__name__} {getattr(node, 'name', '')}".strip()
    raise SecurityError(f"{what} may not stand in a value from the form")


def _member(value: Any, key: Any) -> Any:
    if (isinstance(value, list | str) and isinstance(key, int)) or (isinstance(value, Mapping) and key in value):
        return value[key]
    if isinstance(value, date) and key in _ATTRIBUTES and hasattr(value, key):
        return getattr(value, key)
    raise jinja2.UndefinedError(f"{key!r} is undefined for a value from the form, which may use {', '.join(ALLOWED)}")


def _called(value: Any, name: str, args: list[Any], named: dict[str, Any]) -> Any:
    allowed = {method for kind, methods in _METHODS.items() if isinstance(value, kind) for method in methods.split()}
    wide = name == "strftime" and any(map(_WIDTH.search, args))
    if name not in allowed or wide or not all(isinstance(each, int) for each in named.values()):
        raise SecurityError(f"{name}() may not be called like this in a value from the form")
    return getattr(value, name)(*args, **named)
