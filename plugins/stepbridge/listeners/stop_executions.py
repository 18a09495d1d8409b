"""Stops the executions of an ended run or task that nobody waits for: reads Airflow's database, then calls AWS.

Runs in the API server and in the scheduler, in the thread of ``delayed_checks``, with a database session of its own.
"""

import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
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
from stepbridge.core.failures import KILLED
from stepbridge.core.statuses import execution_status
from stepbridge.errors import TRANSIENT_ERRORS, AwsError, NotFoundError
from stepbridge.hooks.stepbridge import StepbridgeHook
from stepbridge.hooks.task_instance import EXECUTION_KEY, name_instance
from stepbridge.listeners import stop_decision
from stepbridge.listeners.stop_decision import EndNotice, InstanceState, RunSnapshot, Stop, WaitDependency

log = logging.getLogger(__name__)

AUDIT_EVENT: Final = "stepbridge_stop"
MARKED_WITHIN: Final = timedelta(minutes=2)


def stop_abandoned_executions(notice: EndNotice) -> bool:
    """Stop the executions that ``stop_decision`` names; False when it should be tried again later."""
    try:
        with create_session() as session:
            snapshot = _snapshot(notice, session)
            by = _marked_by(notice, session) if snapshot else ""
    except OperationalError as error:
        log.warning("%s: Airflow's database does not answer: %s", notice, error)
        return False
    if snapshot is None:
        return True
    done = [
        _stop(notice, stop, by) for stop in stop_decision.executions_to_stop(notice, snapshot)
    ]  # all, even if one can't be
    return all(done)


# --- Airflow's database -----------------------------------------------------------------------------------------------
def _snapshot(notice: EndNotice, session: Session) -> RunSnapshot | None:
    """The run; None when it started no execution or was deleted. For runs of other DAGs this is one small query."""
    of_run = {"dag_id": notice.dag_id, "run_id": notice.run_id}
    xcoms = session.scalars(select(XComModel).filter_by(key=EXECUTION_KEY, **of_run)).all()
    run = xcoms and session.scalar(select(DagRun).filter_by(**of_run))
    if not run:
        return None
    columns = (TaskInstance.task_id, TaskInstance.map_index, TaskInstance.state, TaskInstance.try_number)
    rows = session.execute(select(*columns).filter_by(**of_run))
    instances = {(row.task_id, row.map_index): InstanceState(str(row.state or ""), row.try_number) for row in rows}
    records = {
        (xcom.task_id, xcom.map_index): stop_decision.ExecutionRecord(**XCom.deserialize_value(xcom))
        for xcom in xcoms
        if (xcom.task_id, xcom.map_index) in instances
    }
    dag = SerializedDagModel.get_dag(notice.dag_id, session=session)
    dependencies = [dependency for task in dag.tasks for dependency in _dependencies(task)] if dag else []
    return RunSnapshot(str(run.state), instances, records, dependencies)


def _dependencies(task: Any) -> Iterator[WaitDependency]:
    """The starts that a task waits for: its ``execution_arn`` is a template, or what it is mapped over."""
    if "execution_arn" not in task.template_fields:
        return
    mapped = task.expand_input.value if task.is_mapped else {}
    over = mapped.get("execution_arn") if isinstance(mapped, dict) else None
    template = str(getattr(task, "partial_kwargs", {}).get("execution_arn") or getattr(task, "execution_arn", ""))
    for start in task.upstream_task_ids:
        if over is not None and getattr(getattr(over, "operator", None), "task_id", None) == start:
            yield WaitDependency(task.task_id, start, by_index=True)
        elif f"'{start}'" in template or f'"{start}"' in template:
            yield WaitDependency(task.task_id, start)


def _marked_by(notice: EndNotice, session: Session) -> str:
    """`` by <user>`` if the audit log says that a user has just marked the run or a task of it."""
    latest = session.scalar(
        select(Log.owner)
        .filter_by(dag_id=notice.dag_id, run_id=notice.run_id)
        .where(or_(Log.event.startswith("patch_"), Log.event.startswith("bulk_")))
        .where(Log.dttm > datetime.now(UTC) - MARKED_WITHIN)
        .order_by(Log.dttm.desc())
        .limit(1)
    )
    return f" by {latest}" if latest and "timeout" not in notice.why else ""


def _audit(notice: EndNotice, stop: Stop, text: str) -> None:
    """Write to the task instance's audit log: an instance that never ran has no log of its own."""
    task_id, map_index = stop.instance
    instance: Any = {"dag_id": notice.dag_id, "run_id": notice.run_id, "task_id": task_id, "map_index": map_index}
    entry = Log(AUDIT_EVENT, owner="stepbridge", extra=text, try_number=stop.try_number, **instance)
    try:
        with create_session() as session:
            session.add(entry)
    except OperationalError as error:  # the execution is stopped, and the process's log says so
        log.warning("could not be written to the audit log: %s", error)


# --- AWS --------------------------------------------------------------------------------------------------------------
def _stop(notice: EndNotice, stop: Stop, by: str) -> bool:
    """Stop the execution; False when it should be tried again. Log and audit log say what was done."""
    arn = stop.record.execution_arn
    task_id, map_index = stop.instance
    name = name_instance(notice.dag_id, task_id, notice.run_id, map_index, stop.try_number)
    cause = f"{name} was {stop.why}{by}"
    hook = StepbridgeHook(stop.record.aws_conn_id, stop.record.region_name or region_of(arn))
    try:
        if execution_status(hook.step_functions.describe(arn).status).terminal:
            return True
        hook.step_functions.stop(arn, KILLED, cause)
    except NotFoundError:
        return True  # the task ended before it started the execution
    except TRANSIENT_ERRORS as error:
        log.warning("cannot stop %s yet: %s", arn, error)
        return False
    except AwsError as error:
        text = f"cannot stop {arn}, although {cause}: {error}"
        log.error("%s", text)
        _audit(notice, stop, text)
        return True
    log.warning("stopped %s: %s", arn, cause)
    _audit(notice, stop, f"stopped {arn}: {cause}")
    return True
