"""Runs that began under version 0.1.0 go on under this one, which reads all that it left in Airflow and AWS.

``recorded/version_0_1_0.json`` was written by the code of that version: triggers and events of deferred tasks, XComs,
the task state store, execution names and tokens, errors and causes of stopped executions, the deployment document.
"""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.execution_time.context import NEVER_EXPIRE
from airflow.sdk.module_loading import import_string

from stepbridge.core.deployment import parse_deployment
from stepbridge.core.execution_input import parse_execution_input
from stepbridge.hooks.task_instance import EXECUTION_KEY, describe_task, record_execution, redrive_token
from stepbridge.listeners.stop_decision import ExecutionRecord
from stepbridge.operators.execution_starter import StartState
from stepbridge.sensors.input import BEGAN_KEY_0_1
from stepbridge.triggers.stop_reasons import WAITING_TRY_KEY, was_stopped_for_another_try

OLD = json.loads((Path(__file__).parent / "recorded" / "version_0_1_0.json").read_text())
ARN = OLD["execution_trigger"]["kwargs"]["execution_arn"]
RUN_ID = "scheduled__2026-11-01T03:00:00+00:00"


class Store(dict[str, Any]):
    """A task state store."""

    def set(self, key: str, value: Any, retention: timedelta) -> None:
        assert retention is NEVER_EXPIRE
        self[key] = value


@pytest.fixture
def context() -> Any:
    """Of the second try of a start with one retry."""
    instance = SimpleNamespace(
        dag_id="flight-delay", task_id="start_execution", run_id=RUN_ID, map_index=-1, try_number=2, max_tries=1
    )
    instance.xcoms = {}
    instance.xcom_push = lambda key, value: instance.xcoms.update({key: value})
    store = Store(OLD["task_state_store"])
    return {
        "ti": instance,
        "run_id": RUN_ID,
        "task": SimpleNamespace(retries=1),
        "dag_run": SimpleNamespace(clear_number=1, conf={}),
        "task_state_store": store,
    }


@pytest.mark.parametrize("name", ["execution_trigger", "input_trigger"])
def test_triggers_of_deferred_tasks_are_made_again(name: str) -> None:
    """By the class path and arguments in Airflow's database; a triggerer of either version can take over."""
    old = OLD[name]
    trigger = import_string(old["classpath"])(**old["kwargs"])
    assert trigger.serialize() == (old["classpath"], old["kwargs"])


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("execution_event", ("SUCCEEDED", "")), ("execution_event_of_error", ("", "cannot list"))],
)
def test_an_event_is_the_same_in_both_versions(name: str, arguments: tuple[str, str]) -> None:
    """A triggerer of one version may fire for a worker of the other."""
    trigger = import_string(OLD["execution_trigger"]["classpath"])(**OLD["execution_trigger"]["kwargs"])
    assert trigger._trigger_event(*arguments).payload == OLD[name]


def test_an_execution_s_input_is_the_same() -> None:
    """So a retry after the upgrade knows that nothing has changed: the input and its digest are equal."""
    execution_input = parse_execution_input(OLD["execution_input_values"], "parameters")
    assert json.loads(execution_input.to_json()) == OLD["execution_input"]
    assert execution_input.digest() == OLD["input_digest"]


def test_a_retry_finds_the_execution_that_0_1_0_has_started(context: Any) -> None:
    """By its ARN, which 0.1.0 saved before the call; under that name it is started, if the call never came."""
    state = StartState(context, "flight-delay")
    assert (state.arn, state.name, state.cleared) == (ARN, ARN.rpartition(":")[2], False)


def test_a_start_that_was_cleared_since_0_1_0_tried_it_knows_that(context: Any) -> None:
    """0.1.0 saved no number of tries; a clear has given as many as the task has retries, after its last try."""
    context["ti"].max_tries = 2  # cleared after its first try
    assert StartState(context, "flight-delay").cleared


def test_a_start_keeps_its_token_for_ever(context: Any) -> None:
    """What it has saved under this version goes before what 0.1.0 had saved, and names go on from there."""
    state = StartState(context, "flight-delay")
    state.next_number()
    arn = f"arn:aws:states:us-east-1:123456789012:execution:stepbridge-batch:{state.name}"
    state.save(arn)
    again = StartState(context, "flight-delay")
    assert (again.token, again.name, again.arn, again.cleared) == (state.token, state.name, arn, False)
    assert again.name == f"flight-delay-scheduled__2026-11-01T03-00-00-00-00-{state.token}-0"
    context["ti"].max_tries += 2
    assert StartState(context, "flight-delay").cleared


def test_the_record_of_an_execution_is_the_same(context: Any) -> None:
    """The listener stops what a task of the earlier version started."""
    record_execution(context, ARN, "aws_default", None)
    assert context["ti"].xcoms == OLD["xcoms"]
    assert ExecutionRecord(**OLD["xcoms"][EXECUTION_KEY]).execution_arn == ARN
    assert OLD["waiting_try_key"] == WAITING_TRY_KEY
    assert BEGAN_KEY_0_1 in OLD["task_state_store"]


def test_a_redrive_s_token_is_the_same(context: Any) -> None:
    """A try whose redrive was answered to nobody redrives once, whichever version repeats the call."""
    assert describe_task(context) == OLD["task_instance"]
    assert redrive_token(ARN, describe_task(context)) == OLD["redrive_token"]


@pytest.mark.parametrize("stop", OLD["stops"], ids=[stop["cause"][:40] for stop in OLD["stops"]])
def test_a_stop_by_the_earlier_version_is_recognised(stop: dict[str, str]) -> None:
    """A later try of the run redrives the execution; the try that was ended, and another run, do not."""
    later = f"task flight-delay.wait_for_execution of run {RUN_ID}, try 2"
    assert was_stopped_for_another_try(stop["error"], stop["cause"], RUN_ID, later)
    assert not was_stopped_for_another_try(stop["error"], stop["cause"], "scheduled__2026-11-02", later)


@pytest.mark.parametrize("name", sorted(OLD["links"]))
def test_operators_keep_their_paths_and_links(name: str) -> None:
    """DAG files import them by these paths, and links are XComs by these keys."""
    modules = {
        "BuildImageOperator": "operators.build_image",
        "UploadScriptsOperator": "operators.upload_scripts",
        "StartExecutionOperator": "operators.start_execution",
        "ExecutionSensor": "sensors.execution",
        "InputSensor": "sensors.input",
    }
    operator = import_string(f"stepbridge.{modules[name]}.{name}")
    assert [link.xcom_key for link in operator.operator_extra_links] == OLD["links"][name]


def test_the_deployment_document_is_read() -> None:
    """The Airflow Variable need not be set again."""
    assert parse_deployment(OLD["deployment"]).events_queue_url == OLD["deployment"]["events_queue_url"]
