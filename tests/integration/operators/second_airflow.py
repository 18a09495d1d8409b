"""Another Airflow on the same stack: ``python -m`` this, with an AIRFLOW_HOME of its own, starts a run's execution,
retries that, and does both again after its database was rebuilt; it prints the four ARNs."""

from __future__ import annotations

import json
import sys
from typing import Any

from airflow.sdk import DAG
from airflow.utils.db import initdb, resetdb

from stepbridge.operators.start_execution import StartExecutionOperator

from .airflow_runs import synced
from .task_tries import TaskTries

TASK = "start_execution"


def starting_dag(model: str, code_uri: str, parameters: dict[str, Any]) -> DAG:
    """A DAG that only starts; the same in every Airflow."""
    with DAG(f"{model}-again", schedule=None, default_args={"retries": 1, "retry_delay": 0}) as dag:
        StartExecutionOperator(task_id=TASK, model=model, image_uri=None, code_uri=code_uri, parameters=parameters)
    return dag


def started_twice(run: TaskTries) -> list[str]:
    """The ARNs that the first try returned and its retry."""
    arns = []
    for _number in range(2):
        assert run.next_try(TASK) == "success"
        arns.append(str(run.xcom(TASK)))
    return arns


if __name__ == "__main__":
    model, code_uri, parameters, run_id = sys.argv[1:]
    dag = starting_dag(model, code_uri, json.loads(parameters))
    found = []
    for make_database in (initdb, resetdb):
        make_database()
        synced(dag)
        found += started_twice(TaskTries(dag, run_id))
    print("\n" + json.dumps(found))
