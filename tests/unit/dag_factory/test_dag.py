"""A model card becomes a DAG."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pendulum
import pytest
from airflow.sdk import DAG, Asset, task_group
from airflow.sdk.exceptions import AirflowSkipException
from airflow.serialization.serialized_objects import DagSerialization

from stepbridge.core.model_card import parse_card
from stepbridge.dag_factory import build_dag
from stepbridge.dag_factory.dag import add_tasks
from stepbridge.errors import CardError
from stepbridge.operators.base import StepbridgeOperator
from stepbridge.timetable import CardTimetable

URIS = "input_uri: s3://bucket/in/{{ ds }}/\noutput_uri: s3://bucket/out/{{ ds }}/\n"


def dag_of(text: str, root: Path = Path("/project")) -> DAG:
    """The DAG of a card named sales."""
    return build_dag(parse_card(URIS + text, "dags/models/sales.yaml"), root)


def edges(dag: DAG) -> dict[str, set[str]]:
    """Task id -> ids downstream of it."""
    return {task.task_id: set(task.downstream_task_ids) for task in dag.tasks}


def skipped(dag: DAG, task_id: str, stages: list[str]) -> bool:
    """Whether the task skips itself in a run with these stages."""
    hook: Any = dag.get_task(task_id)._pre_execute_hook
    try:
        hook({"params": {"stages": stages}})
    except AirflowSkipException:
        return True
    return False


def test_a_card_becomes_four_tasks() -> None:
    """Image and scripts are prepared side by side; then one execution is started and waited for."""
    assert edges(dag_of("")) == {
        "build_image": {"start_execution"},
        "upload_scripts": {"start_execution"},
        "start_execution": {"wait_for_execution"},
        "wait_for_execution": set(),
    }


@pytest.mark.parametrize(
    ("text", "tasks"),
    [
        ("image: 123456789012.dkr.ecr.us-east-1.amazonaws.com/m:1", {"upload_scripts"}),
        ("stages: [preprocessing]", {"upload_scripts"}),
        ("stages: [inference]", {"build_image"}),
        ("stages: [inference]\nimage: 123456789012.dkr.ecr.us-east-1.amazonaws.com/m:1", set()),
    ],
)
def test_what_the_card_does_not_need_is_no_task(text: str, tasks: set[str]) -> None:
    """A ready image is not built; without script stages nothing is uploaded."""
    assert edges(dag_of(text)).keys() == tasks | {"start_execution", "wait_for_execution"}


def test_a_ready_image_goes_into_the_execution_as_it_is() -> None:
    """The operator that starts gets the card's URI."""
    image = "123456789012.dkr.ecr.us-east-1.amazonaws.com/m:1"
    assert dag_of(f"image: {image}").get_task("start_execution").image_uri == image


def test_a_run_without_inference_builds_no_image() -> None:
    """The stages of the run, not only those of the card, decide what is prepared; start runs after a skip."""
    dag = dag_of("")
    assert skipped(dag, "build_image", ["preprocessing", "postprocessing"])
    assert not skipped(dag, "build_image", ["inference"])
    assert skipped(dag, "upload_scripts", ["inference"])
    assert not skipped(dag, "upload_scripts", ["inference", "postprocessing"])
    assert dag.get_task("start_execution").trigger_rule == "none_failed_min_one_success"


def test_the_schedule_is_in_the_cards_timezone() -> None:
    """The DAG shows the zone; the days stand in the timetable, where they do not bound runs by hand."""
    dag = dag_of('schedule: "30 2 * * *"\ntimezone: America/New_York\nstart_date: 2013-04-01\ncatchup: true')
    assert isinstance(dag.timetable, CardTimetable)
    assert dag.timetable.description == "At 02:30 from 2013-04-01, America/New_York"
    assert (dag.catchup, dag.start_date, dag.end_date) == (True, None, None)
    assert {(task.start_date, task.end_date) for task in dag.tasks} == {(None, None)}
    stored = DagSerialization.from_dict(json.loads(json.dumps(DagSerialization.to_dict(dag))))
    for each in (dag, stored):
        assert str(each.timezone) == "America/New_York"
    assert (stored.timetable.summary, stored.timetable.first) == ("30 2 * * *", date(2013, 4, 1))
    assert (stored.start_date, stored.end_date, stored.catchup) == (None, None, True)


@pytest.mark.parametrize("schedule", ["", 'schedule: "@daily"\n', 'schedule: "30 2 * * 1-5"\n'])
@pytest.mark.parametrize("days", ["", "end_date: 2013-12-31\n", "start_date: 2998-01-01\nend_date: 9999-12-31\n"])
def test_no_date_bounds_a_run_by_hand(schedule: str, days: str) -> None:
    """Airflow gives a run outside of its DAG's or tasks' dates no tasks, and calls it a success."""
    for zone in ("UTC", "America/New_York", "Pacific/Kiritimati"):
        dag = dag_of(f"{schedule}{days}timezone: {zone}\n")
        stored = DagSerialization.from_dict(DagSerialization.to_dict(dag))
        for each in (dag, stored):
            assert (each.start_date, each.end_date) == (None, None)
            assert {(task.start_date, task.end_date) for task in each.tasks} == {(None, None)}


def test_the_local_date_is_that_of_the_cards_zone() -> None:
    """In each task that renders, and in a DAG of another zone too."""
    card = parse_card(URIS + "timezone: Asia/Tokyo\nwait_for_input: 60\nmax_cost: 1", "dags/models/sales.yaml")
    with DAG("many", schedule=None, auto_register=False) as dag:
        add_tasks(card, Path("/project"))
    context: Any = {"logical_date": pendulum.datetime(2013, 6, 30, 17, 30)}
    rendering = [task for task in dag.tasks if isinstance(task, StepbridgeOperator)]
    assert len(rendering) == 5
    assert {task.render_template("{{ local_ds }}", context) for task in rendering} == {"2013-07-01"}


def test_runs_that_can_start_go_before_runs_that_still_build() -> None:
    """Report before start before all else, whatever pool they are in."""
    for text in ("", "pool: gpu\n"):
        dag = dag_of(text + "wait_for_input: 60\nmax_cost: 1\n")
        weights = {task.task_id: task.priority_weight for task in dag.tasks}
        assert weights.pop("wait_for_execution") > weights.pop("start_execution") > max(weights.values())
        assert {task.weight_rule for task in dag.tasks} == {"absolute"}


def test_a_card_bounds_its_run_and_spaces_its_retries() -> None:
    """In seconds; without the keys Airflow bounds nothing, and retries wait 1, 2, 4 … 30 minutes."""
    dag = dag_of("dagrun_timeout: 7200\nretry_delay: 30\nmax_retry_delay: 300")
    assert dag.dagrun_timeout == timedelta(hours=2)
    assert {(task.retry_delay, task.max_retry_delay) for task in dag.tasks} == {
        (timedelta(seconds=30), timedelta(minutes=5))
    }
    assert dag_of("").dagrun_timeout is None


def test_a_card_without_schedule_is_run_by_hand() -> None:
    """No timetable that schedules, no catch-up."""
    dag = dag_of("")
    assert not dag.timetable.can_be_scheduled
    assert not dag.catchup


def test_a_schedule_that_never_comes_is_refused() -> None:
    """31 February has the form of a cron expression; Airflow's own DAG processor would end with it."""
    with pytest.raises(CardError, match="schedule is '0 4 31 2 \\*'; expected a schedule with a next date"):
        dag_of('schedule: "0 4 31 2 *"')


def test_tasks_belong_to_the_owner_and_retry_ever_later() -> None:
    """Owner, retries and their growing delays come from the card and the factory."""
    dag = dag_of("owner: ana\nretries: 5\ntags: [a]\nmax_active_runs: 3\ndescription: Sales of a day")
    for task in dag.tasks:
        assert (task.owner, task.retries) == ("ana", 5)
        assert task.retry_delay == timedelta(minutes=1)
        assert task.retry_exponential_backoff == 2
        assert task.max_retry_delay == timedelta(minutes=30)
    assert dag.tags == {"a", "stepbridge"}
    assert dag.max_active_runs == 3
    assert dag.description == "Sales of a day"


def test_a_success_updates_the_models_asset() -> None:
    """Another DAG can be scheduled on Asset("sales")."""
    (outlet,) = dag_of("").get_task("wait_for_execution").outlets
    assert isinstance(outlet, Asset)
    assert (outlet.name, outlet.extra) == ("sales", {"output_uri": "s3://bucket/out/{{ ds }}/"})


def test_the_page_shows_card_and_readme(tmp_path: Path) -> None:
    """Values with a bar do not break the table; the container's README goes before that of the scripts."""
    for folder in ("containers/sales", "scripts/sales"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "README.md").write_text(f"# Read me in {folder}\n")
    page = str(dag_of('environment: {MODE: "a|b"}\nvolume_size: 7', tmp_path).doc_md)
    assert "| volume_size | `7` |" in page
    assert "| environment | `MODE=a\\|b` |" in page
    assert "| container | `containers/sales` |" in page
    assert page.endswith("# Read me in containers/sales\n")
    (tmp_path / "containers/sales/README.md").unlink()
    assert str(dag_of("", tmp_path).doc_md).endswith("# Read me in scripts/sales\n")


def test_the_page_warns_of_utcs_date() -> None:
    """Where the card has another time zone."""
    warning = "sales: the templates use UTC (ds), and the card's timezone is Asia/Tokyo"
    assert warning in str(dag_of("timezone: Asia/Tokyo").doc_md)
    assert warning not in str(dag_of("").doc_md)


def test_the_tasks_can_be_mapped_in_a_group() -> None:
    """The same four tasks go into a mapped task group of somebody's own DAG."""
    card = parse_card(URIS, "dags/models/sales.yaml")
    with DAG("many", schedule=None, auto_register=False) as dag:

        @task_group
        def one(region: str) -> None:  # noqa: ARG001  what it is mapped over
            add_tasks(card, Path("/project"))

        one.expand(region=["north", "south"])
    assert edges(dag)["one.start_execution"] == {"one.wait_for_execution"}
    assert len(dag.tasks) == 4
    assert all(task.get_closest_mapped_task_group() is not None for task in dag.tasks)


def test_guards_stand_in_front_of_the_start_and_beside_the_rest() -> None:
    """Waiting for input and asking for money keep neither the build nor the upload."""
    dag = dag_of("wait_for_input: 60\nmax_cost: 2.5")
    assert edges(dag) == {
        "build_image": {"start_execution"},
        "upload_scripts": {"start_execution"},
        "wait_for_input": {"start_execution"},
        "approve_cost": {"start_execution"},
        "start_execution": {"wait_for_execution"},
        "wait_for_execution": set(),
    }
    assert dag.get_task("wait_for_input").timeout == 60
    assert dag.get_task("approve_cost").max_cost == 2.5


def test_a_guard_alone_in_front_of_the_start() -> None:
    """A ready image without scripts: the start waits for the guard and is not skipped for want of others."""
    image = "image: 123456789012.dkr.ecr.us-east-1.amazonaws.com/m:1"
    dag = dag_of(f"stages: [inference]\n{image}\nwait_for_input: 60")
    assert edges(dag)["wait_for_input"] == {"start_execution"}
    assert dag.get_task("start_execution").trigger_rule == "none_failed_min_one_success"


def test_start_and_wait_share_the_pool_and_the_wait_goes_first() -> None:
    """What has run reports before more is started; the guards and the builds take no slot."""
    dag = dag_of("pool: gpu\npool_slots: 2\nwait_for_input: 60\nmax_cost: 1")
    start, wait = dag.get_task("start_execution"), dag.get_task("wait_for_execution")
    assert (start.pool, start.pool_slots, start.hold_until_end) == ("gpu", 2, True)
    assert (wait.pool, wait.pool_slots) == ("gpu", 2)
    assert (start.weight_rule, wait.weight_rule) == ("absolute", "absolute")
    assert wait.priority_weight > start.priority_weight
    others = ("build_image", "upload_scripts", "wait_for_input", "approve_cost")
    assert {dag.get_task(task_id).pool for task_id in others} == {"default_pool"}


def test_without_a_pool_the_start_holds_nothing() -> None:
    """It ends as soon as the execution runs."""
    start = dag_of("").get_task("start_execution")
    assert (start.pool, start.hold_until_end) == ("default_pool", False)
