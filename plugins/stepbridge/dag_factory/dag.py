"""One model card becomes one DAG:

build_image ──┐
upload_scripts├─> start_execution ─> wait_for_execution ─> (asset: the model's name)
wait_for_input┤
approve_cost ─┘

A card with ``wait_for_input`` or ``max_cost`` has the task of that name.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import pendulum
from airflow.sdk import DAG, Asset, BaseOperator, TriggerRule, WeightRule
from airflow.sdk.exceptions import AirflowSkipException

from stepbridge.core.failures import RETRY_GROWTH
from stepbridge.core.model_card import ModelCard
from stepbridge.dag_factory.deadline import deadline_alert
from stepbridge.dag_factory.documentation import documentation
from stepbridge.dag_factory.form import form_params
from stepbridge.dag_factory.notifications import ApprovalNotifier, Notification, require_notifiers
from stepbridge.operators.base import CONTAINER_STAGE
from stepbridge.operators.build_image import BuildImageOperator
from stepbridge.operators.retry_policy import ModelRetryPolicy
from stepbridge.operators.start_execution import StartExecutionOperator
from stepbridge.operators.upload_scripts import UploadScriptsOperator
from stepbridge.sensors.execution import ExecutionSensor
from stepbridge.sensors.input import InputSensor
from stepbridge.timetable import CardTimetable

if TYPE_CHECKING:
    from airflow.sdk import Context

MODEL_TAG: Final = "stepbridge"
START_PRIORITY: Final = 2
"""Above the 1 of the tasks before it. By Airflow's own rule it would be below, and start after all builds are done."""


def build_dag(card: ModelCard, project_root: Path) -> DAG:
    """The DAG of a model. ``project_root`` holds the container and scripts folders that the card names.

    Reads the model's README and nothing else, neither Variables nor AWS. Raises AirflowException or ValueError
    for what only Airflow can judge, such as a notifier whose provider is not installed.
    """
    require_notifiers(card.notify)
    zone = pendulum.timezone(card.timezone)
    dag = DAG(
        card.name,
        description=card.description or None,
        schedule=card.schedule and CardTimetable(card.schedule, zone, card.start_date, card.end_date),
        catchup=card.catchup,
        max_active_runs=card.max_active_runs,
        dagrun_timeout=timedelta(seconds=card.dagrun_timeout) if card.dagrun_timeout else None,
        tags=[*card.tags, MODEL_TAG],
        params=form_params(card),
        doc_md=documentation(card, project_root),
        deadline=deadline_alert(card),
        auto_register=False,  # a DAG of the file that keeps it, not of every file that builds it to check the card
        default_args={
            "owner": card.owner,
            "start_date": None,  # Airflow asks for one with catchup; the timetable has it
            "retries": card.retries,
            "retry_delay": timedelta(seconds=card.retry_delay),
            "retry_exponential_backoff": RETRY_GROWTH,
            "max_retry_delay": timedelta(seconds=card.max_retry_delay),
            "retry_policy": ModelRetryPolicy(),
            "on_failure_callback": [Notification(target) for target in card.notify],
        },
    )
    dag.timezone = zone  # which Airflow takes from a start_date
    with dag:
        add_tasks(card, project_root)
    dag.validate()  # type: ignore[no-untyped-call]
    return dag


def add_tasks(card: ModelCard, project_root: Path) -> ExecutionSensor:
    """Add the model's tasks to the current DAG or (mapped) task group; return the last one, which returns the report.

    The DAG needs the parameters of ``form_params``.
    """
    guards = _guards(card)
    has_upstream = bool(guards or card.builds_image or card.uploads_scripts)
    start = StartExecutionOperator(
        task_id="start_execution",
        image_uri=_image_uri(card, project_root),
        code_uri=_code_uri(card, project_root),
        environment=card.environment,
        hold_until_end=card.pool is not None,
        trigger_rule=TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS if has_upstream else TriggerRule.ALL_SUCCESS,
        **_own(card, priority=START_PRIORITY, pooled=True),
    )
    for guard in guards:
        guard >> start
    return ExecutionSensor(
        task_id="wait_for_execution",
        execution_arn=cast(str, start.output),  # an XComArg, which Airflow resolves before the sensor runs
        outlets=[model_asset(card)],
        allow_empty_output=card.allow_empty_output,
        prices=card.prices,
        **_queue(card, priority=START_PRIORITY + 1, pooled=True),
    )


def model_asset(card: ModelCard) -> Asset:
    """The asset that a successful run updates: ``Asset("<model>")``.

    It has the model's name and no URI, since the output's URI is another one every day; the asset event has it.
    """
    return Asset(card.name, group="stepbridge", extra={"output_uri": card.output_uri})


def _guards(card: ModelCard) -> list[BaseOperator]:
    """The tasks that keep an execution from starting without its input or at too high a cost."""
    guards: list[BaseOperator] = []
    if card.wait_for_input is not None:
        guards.append(InputSensor(task_id="wait_for_input", timeout=card.wait_for_input, **_own(card)))
    if card.max_cost is not None:
        # Imported here: the standard provider's operators take time to import, and few cards need them.
        from stepbridge.operators.approve_cost import CostApprovalOperator

        guards.append(
            CostApprovalOperator(
                task_id="approve_cost",
                max_cost=card.max_cost,
                prices=card.prices,
                notifiers=[ApprovalNotifier(target) for target in card.notify],
                **_own(card),
            )
        )
    return guards


def _own(card: ModelCard, **queue: Any) -> dict[str, Any]:
    """The arguments of each of the model's operators."""
    return {"model": card.name, "timezone": card.timezone, **_queue(card, **queue)}


def _queue(card: ModelCard, priority: int = 1, *, pooled: bool = False) -> dict[str, Any]:
    """The arguments for a task's place in the queue: what can start or report goes before what still builds.

    Start and wait are in the card's pool, if it has one. The first holds the execution's slots until the execution has
    ended. The second takes them to report and whenever it redrives; its priority puts it before new starts.
    """
    pool = {"pool": card.pool, "pool_slots": card.pool_slots} if pooled and card.pool else {}
    return {"priority_weight": priority, "weight_rule": WeightRule.ABSOLUTE, **pool}


def _image_uri(card: ModelCard, project_root: Path) -> Any:
    """What the operator takes as ``image_uri``: the card's ready image, the result of build_image, or None."""
    if not card.builds_image:
        return card.image
    return BuildImageOperator(
        task_id="build_image",
        context_folder=project_root / card.container_folder,
        build_args=card.build_args,
        pre_execute=_skip_without_container_stage,
        **_own(card),
    ).output


def _code_uri(card: ModelCard, project_root: Path) -> Any:
    if not card.uploads_scripts:
        return None
    return UploadScriptsOperator(
        task_id="upload_scripts",
        scripts_folder=project_root / card.scripts_folder,
        pre_execute=_skip_without_script_stage,
        **_own(card),
    ).output


def _skip_without_container_stage(context: Context) -> None:
    stages = context["params"]["stages"]
    if CONTAINER_STAGE not in stages:
        raise AirflowSkipException(f"no image is needed: this run has the stages {', '.join(stages)}")


def _skip_without_script_stage(context: Context) -> None:
    if set(context["params"]["stages"]) == {CONTAINER_STAGE}:
        raise AirflowSkipException(f"no scripts are needed: this run has the stage {CONTAINER_STAGE} alone")
