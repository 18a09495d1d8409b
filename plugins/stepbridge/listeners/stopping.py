"""Looks at what was noted: reads the run from Airflow's database, and stops the executions that nobody waits for.

It runs in the API server and in the scheduler, in a thread of its own, with a database session of its own.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, Final

from airflow.models.dagrun import DagRun
from airflow.models.log import Log
from airflow.models.serialized_dag import SerializedDagModel
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from airflow.sdk.execution_time.xcom import XCom
from airflow.utils.session import create_session
from sqlalchemy import or_, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from stepbridge.aws.arns import region_of
from stepbridge.aws.calls import AwsError, NotFoundError
from stepbridge.core.statuses import execution_status
from stepbridge.hooks.stepbridge import StepbridgeHook
from stepbridge.hooks.task_instance import EXECUTION_KEY, in_words
from stepbridge.listeners.verdict import Ended, Instance, Key, Record, Snapshot, Stop, Wiring, stops
from stepbridge.triggers.endings import KILLED
from stepbridge.triggers.watching import PASSING

__all__ = ["look_at"]

log = logging.getLogger(__name__)

AUDIT_EVENT: Final = "stepbridge_stop"
MARKED_WITHIN: Final = timedelta(minutes=2)


def look_at(ended: Ended) -> bool:
    """Stop what has to be stopped; False when something kept it from that which may be over in a while."""
    try:
        with create_session() as session:
            snapshot = _snapshot(ended, session)
            by = _who(ended, session) if snapshot else ""
    except OperationalError as error:
        log.warning("%s: Airflow's database does not answer: %s", ended, error)
        return False
    if snapshot is None:
        return True
    done = [_stopped(ended, stop, by) for stop in stops(ended, snapshot)]  # each, whatever becomes of the others
    return all(done)


# --- Airflow's database -----------------------------------------------------------------------------------------------
def _snapshot(ended: Ended, session: Session) -> Snapshot | None:
    """The run; None when it has started no execution or is no more. For runs of other DAGs that is one small query."""
    records = _records(ended, session)
    run = records and session.scalar(select(DagRun).filter_by(dag_id=ended.dag_id, run_id=ended.run_id))
    if not run:
        return None
    rows = session.execute(
        select(TaskInstance.task_id, TaskInstance.map_index, TaskInstance.state, TaskInstance.try_number).where(
            TaskInstance.dag_id == ended.dag_id, TaskInstance.run_id == ended.run_id
        )
    )
    instances = {(row.task_id, row.map_index): Instance(str(row.state or ""), row.try_number) for row in rows}
    records = {key: record for key, record in records.items() if key in instances}
    dag = SerializedDagModel.get_dag(ended.dag_id, session=session)
    wirings = [wiring for task in dag.tasks for wiring in _wirings(task)] if dag else []
    return Snapshot(str(run.state), instances, records, wirings)


def _records(ended: Ended, session: Session) -> dict[Key, Record]:
    rows = session.scalars(
        select(XComModel).where(
            XComModel.dag_id == ended.dag_id, XComModel.run_id == ended.run_id, XComModel.key == EXECUTION_KEY
        )
    )
    return {(row.task_id, row.map_index): Record(**XCom.deserialize_value(row)) for row in rows}


def _wirings(task: Any) -> Iterator[Wiring]:
    """Which starts a task waits for, as its ``execution_arn`` says: a template, or what it is mapped over."""
    if "execution_arn" not in task.template_fields:
        return
    mapped = task.expand_input.value if task.is_mapped else {}
    over = mapped.get("execution_arn") if isinstance(mapped, dict) else None
    template = str(getattr(task, "partial_kwargs", {}).get("execution_arn") or getattr(task, "execution_arn", ""))
    for start in task.upstream_task_ids:
        if over is not None and getattr(getattr(over, "operator", None), "task_id", None) == start:
            yield Wiring(task.task_id, start, by_index=True)
        elif f"'{start}'" in template or f'"{start}"' in template:
            yield Wiring(task.task_id, start)


def _who(ended: Ended, session: Session) -> str:
    """`` by <user>`` if the audit log tells that a user has just marked the run or something in it."""
    latest = session.scalar(
        select(Log.owner)
        .where(
            Log.dag_id == ended.dag_id,
            Log.run_id == ended.run_id,
            or_(Log.event.startswith("patch_"), Log.event.startswith("bulk_")),
            Log.dttm > datetime.now(UTC) - MARKED_WITHIN,
        )
        .order_by(Log.dttm.desc())
        .limit(1)
    )
    return f" by {latest}" if latest and "timeout" not in ended.why else ""


def _audit(ended: Ended, stop: Stop, text: str) -> None:
    """A line in the audit log of the task instance: one that never ran has no log of its own."""
    task_id, map_index = stop.instance
    entry = Log(
        AUDIT_EVENT,
        owner="stepbridge",
        extra=text,
        dag_id=ended.dag_id,
        run_id=ended.run_id,
        task_id=task_id,
        map_index=map_index,
        try_number=stop.try_number,
    )
    try:
        with create_session() as session:
            session.add(entry)
    except OperationalError as error:  # what was done has been done, and the process's log has it
        log.warning("the audit log does not have it: %s", error)


# --- AWS --------------------------------------------------------------------------------------------------------------
def _stopped(ended: Ended, stop: Stop, by: str) -> bool:
    """Whether the execution runs no more, or can't be helped; both are told."""
    arn = stop.record.execution_arn
    cause = f"{_in_words(ended, stop)} was {stop.why}{by}"
    hook = StepbridgeHook(stop.record.aws_conn_id, stop.record.region_name or region_of(arn))
    try:
        if execution_status(hook.step_functions.describe(arn).status).terminal:
            return True
        hook.step_functions.stop(arn, KILLED, cause)
    except NotFoundError:
        return True  # it was about to be started, and has not been
    except PASSING as fault:
        log.warning("cannot stop %s yet: %s", arn, fault)
        return False
    except AwsError as fault:
        text = f"cannot stop {arn}, of which {cause}: {fault}"
        log.error("%s", text)
        _audit(ended, stop, text)
        return True
    log.warning("stopped %s: %s", arn, cause)
    _audit(ended, stop, f"stopped {arn}: {cause}")
    return True


def _in_words(ended: Ended, stop: Stop) -> str:
    task_id, map_index = stop.instance
    return in_words(
        SimpleNamespace(
            dag_id=ended.dag_id,
            run_id=ended.run_id,
            task_id=task_id,
            map_index=map_index,
            try_number=stop.try_number,
        )
    )
