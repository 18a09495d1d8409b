"""DAGs run in process by Airflow's own ``dag.test()``: real task runner, real contexts, real database."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from airflow.models.dagbundle import DagBundleModel
from airflow.models.dagrun import DagRun
from airflow.models.serialized_dag import SerializedDagModel
from airflow.models.taskinstance import TaskInstance, clear_task_instances
from airflow.models.xcom import XComModel
from airflow.sdk import DAG, Context
from airflow.sdk.definitions.dag import _run_task
from airflow.serialization.definitions.dag import SerializedDAG
from airflow.serialization.serialized_objects import LazyDeserializedDAG
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState, TaskInstanceState
from sqlalchemy import update

BUNDLE = "testing"


class Failures:
    """A task callback that keeps what tasks failed with, by task id, in order."""

    def __init__(self) -> None:
        self.by_task: dict[str, list[BaseException]] = {}

    def __call__(self, context: Context) -> None:
        error = context["exception"]
        assert isinstance(error, BaseException)
        self.by_task.setdefault(context["ti"].task_id, []).append(error)

    def __deepcopy__(self, memo: dict[int, Any]) -> Failures:
        return self  # Airflow copies operators; what they failed with shall still arrive here

    def of(self, task_id: str) -> BaseException:
        """What the task failed with last."""
        assert task_id in self.by_task, f"{task_id} did not fail; these did: {self.by_task}"
        return self.by_task[task_id][-1]


@dataclass
class Run:
    """A DAG run that has ended."""

    run: Any
    states: dict[str, str]
    tries: dict[str, int]
    failures: Failures
    xcoms: dict[tuple[str, str], Any]

    @property
    def succeeded(self) -> bool:
        return self.run.state == "success"

    def xcom(self, task_id: str, key: str = "return_value") -> Any:
        """The XCom; None when there is none."""
        return self.xcoms.get((task_id, key))


@dataclass
class AirflowRuns:
    """Runs DAGs."""

    synced: set[str] = field(default_factory=set)

    def run(self, dag: DAG, failures: Failures, logical_date: datetime | None = None, **conf: Any) -> Run:
        """Run the DAG once with ``conf`` as the form's answers; no logical date unless one is given."""
        if dag.dag_id not in self.synced:
            synced(dag)
            self.synced.add(dag.dag_id)
        return _ended(dag.test(logical_date=logical_date, run_conf=conf), failures)

    def cleared(self, dag: DAG, run: Run, *tasks: str) -> Run:
        """Clear ``tasks``, or all of the run, as a user does in the UI, and run them again."""
        with create_session() as session:
            dag_run = session.get_one(DagRun, run.run.id)
            dag_run.dag = SerializedDagModel.get_dag(dag.dag_id, session=session)
            instances = dag_run.get_task_instances(session=session)
            chosen = [each for each in instances if not tasks or each.task_id in tasks]
            clear_task_instances(chosen, session=session)
            dag_run.state = DagRunState.RUNNING
            session.commit()
            while dag_run.state == DagRunState.RUNNING:  # the loop of dag.test(), which itself only makes new runs
                session.expire_all()
                ready, _ = dag_run.update_state(session=session)
                for instance in ready:
                    instance.try_number += 1
                    instance.state = TaskInstanceState.SCHEDULED
                session.commit()
                for instance in ready:
                    _run_task(ti=instance, task=dag.task_dict[instance.task_id], run_triggerer=True)
            return _ended(dag_run, run.failures)


def _ended(run: Any, failures: Failures) -> Run:
    """What is left of the run now: a later ``dag.test()`` of the same DAG clears it."""
    instances = run.get_task_instances()
    with create_session() as session:
        rows = session.scalars(XComModel.get_many(dag_ids=run.dag_id, run_id=run.run_id)).all()
        xcoms = {(row.task_id, row.key): XComModel.deserialize_value(row) for row in rows}
    states = {instance.task_id: str(instance.state) for instance in instances}
    return Run(run, states, {instance.task_id: instance.try_number for instance in instances}, failures, xcoms)


def synced(dag: DAG) -> None:
    """Put the DAG into the database, as the DAG processor would from its file."""
    with create_session() as session:
        session.merge(DagBundleModel(name=BUNDLE))
        session.flush()
        lazy = LazyDeserializedDAG.from_dag(dag)
        SerializedDAG.bulk_write_to_db(BUNDLE, None, [lazy], session=session)
        SerializedDagModel.write_dag(lazy, bundle_name=BUNDLE, session=session)


def restarting(task_id: str) -> None:
    """Have the task, which runs now, as a user who clears it does: Airflow sends it SIGTERM then."""
    set_running_task(task_id, TaskInstanceState.RESTARTING)


def marked_failed(task_id: str) -> None:
    """Have the task, which runs now, as a user who marks it as failed does: Airflow sends it SIGTERM then."""
    set_running_task(task_id, TaskInstanceState.FAILED)


def set_running_task(task_id: str, state: TaskInstanceState) -> None:
    with create_session() as session:
        found = session.execute(
            update(TaskInstance)
            .where(TaskInstance.task_id == task_id, TaskInstance.state == TaskInstanceState.RUNNING)
            .values(state=state)
        )
        assert found.rowcount == 1, f"{task_id} does not run"
