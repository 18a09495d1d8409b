"""One DAG run whose task instances are run try by try, each by Airflow's own task runner, in process."""

from __future__ import annotations

from typing import Any

from airflow.api.common.mark_tasks import set_dag_run_state_to_failed
from airflow.models.dagrun import DagRun
from airflow.models.serialized_dag import SerializedDagModel
from airflow.models.taskinstance import TaskInstance, clear_task_instances
from airflow.models.xcom import XComModel
from airflow.sdk import DAG, timezone
from airflow.sdk.definitions.dag import _run_task
from airflow.sdk.serde import serialize
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState, TaskInstanceState
from airflow.utils.types import DagRunTriggeredByType, DagRunType
from sqlalchemy import select
from sqlalchemy.orm import Session


class TaskTries:
    """A run of ``dag``, which has been put into the database."""

    def __init__(self, dag: DAG, run_id: str) -> None:
        self._dag, self.dag_id, self.run_id = dag, dag.dag_id, run_id
        now = timezone.utcnow()
        with create_session() as session:
            stored = SerializedDagModel.get_dag(dag.dag_id, session=session)
            assert stored
            stored.create_dagrun(
                run_id=run_id,
                run_after=now,
                run_type=DagRunType.MANUAL,
                state=DagRunState.RUNNING,
                triggered_by=DagRunTriggeredByType.TEST,
                start_date=now,
                session=session,
            )

    def state(self, task_id: str) -> str:
        """The task's state; empty for none."""
        with create_session() as session:
            return str(self._instance(task_id, session).state or "")

    def tried(self, task_id: str) -> int:
        """The number of its latest try."""
        with create_session() as session:
            return int(self._instance(task_id, session).try_number)

    def xcom(self, task_id: str, key: str = "return_value") -> Any:
        """The XCom; None when there is none."""
        with create_session() as session:
            rows = XComModel.get_many(dag_ids=self._dag.dag_id, run_id=self.run_id, task_ids=task_id, key=key)
            row = session.scalars(rows).first()
            return None if row is None else XComModel.deserialize_value(row)

    def next_try(self, task_id: str) -> str:
        """The state after the next try, which the scheduler would begin now."""
        with create_session() as session:
            instance = self._instance(task_id, session)
            instance.try_number += 1
            return self._run(instance, session)

    def resumed(self, task_id: str, payload: dict[str, Any]) -> str:
        """The state after the deferred try has gone on with what its trigger fired."""
        with create_session() as session:
            instance = self._instance(task_id, session)
            instance.next_method = "resume"
            instance.next_kwargs = {"event": serialize(payload)}
            return self._run(instance, session)

    def clear(self, *tasks: str) -> None:
        """Clear ``tasks``, or all, as a user does."""
        with create_session() as session:
            run = self._dag_run(session)
            run.dag = SerializedDagModel.get_dag(self._dag.dag_id, session=session)
            found = run.get_task_instances(session=session)
            clear_task_instances([each for each in found if not tasks or each.task_id in tasks], session=session)
            run.state = DagRunState.RUNNING

    def delete(self) -> None:
        """Delete the run, as a user does; another one can be made under its name."""
        with create_session() as session:
            session.delete(self._dag_run(session))

    def mark_failed(self) -> None:
        """Mark the run as failed, as a user does."""
        with create_session() as session:
            stored = SerializedDagModel.get_dag(self._dag.dag_id, session=session)
            assert stored
            set_dag_run_state_to_failed(dag=stored, run_id=self.run_id, commit=True, session=session)

    def _run(self, instance: TaskInstance, session: Session) -> str:
        instance.state = TaskInstanceState.SCHEDULED
        task_id = instance.task_id
        session.commit()
        _run_task(ti=instance, task=self._dag.task_dict[task_id])
        session.rollback()
        session.expire_all()
        return str(self._instance(task_id, session).state or "")

    def _instance(self, task_id: str, session: Session) -> TaskInstance:
        found = session.scalars(
            select(TaskInstance).filter_by(dag_id=self._dag.dag_id, run_id=self.run_id, task_id=task_id)
        )
        return found.one()

    def _dag_run(self, session: Session) -> DagRun:
        return session.scalars(select(DagRun).filter_by(dag_id=self._dag.dag_id, run_id=self.run_id)).one()
