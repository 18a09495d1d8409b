"""A model card becomes a DAG."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pendulum
import pytest
from airflow.sdk import DAG, Asset, CronDataIntervalTimetable, task_group
from airflow.sdk.exceptions import AirflowSkipException

from stepbridge.core.model_card import parse_card
from stepbridge.dag_factory import build_dag
from stepbridge.dag_factory.dag import add_tasks
from stepbridge.errors import CardError

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
    """A night's run has the day before as its data interval, as a clock on the wall in that place shows it."""
    dag = dag_of('schedule: "30 2 * * *"\ntimezone: America/New_York\nstart_date: 2013-04-01\ncatchup: true')
    assert isinstance(dag.timetable, CronDataIntervalTimetable)
    assert dag.timetable.expression == "30 2 * * *"
    assert str(dag.timetable.timezone) == "America/New_York"
    assert dag.start_date == pendulum.datetime(2013, 4, 1, tz="America/New_York")
    assert dag.catchup


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
