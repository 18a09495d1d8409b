"""DAG runs by ``dag.test()``, one after the other: ``python -m tests.bench.dag_runs ORDERS_FILE ANSWERS_FILE``."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.providers.amazon.aws.operators.step_function import (
    StepFunctionGetExecutionOutputOperator,
    StepFunctionStartExecutionOperator,
)
from airflow.sdk import DAG
from airflow.utils.db import initdb

from stepbridge.operators.start_execution import StartExecutionOperator
from stepbridge.sensors.execution import ExecutionSensor
from tests.bench.calls import Calls
from tests.bench.servers import REGION, Server, set_faults
from tests.integration.operators.airflow_runs import AirflowRuns, Failures

IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/bench@sha256:" + "0" * 64


@dataclass(frozen=True)
class DagRunOrder:
    """Run ``side``'s DAG around an execution of ``machine_arn``; the first ``lost_answers`` to its start are lost."""

    side: str
    machine_arn: str
    endpoint_url: str
    lost_answers: int


def dag_of(order: DagRunOrder) -> DAG:
    """The tasks around one execution, as each side's users write them; one retry."""
    arguments = {"retries": 1, "retry_delay": timedelta(0)}
    with DAG(f"bench_{order.side}_{order.lost_answers}", schedule=None, default_args=arguments) as dag:
        if order.side == "stepbridge":
            start = StartExecutionOperator(
                task_id="start",
                model="bench",
                deployment=_deployment(order.machine_arn, order.endpoint_url),
                image_uri=IMAGE,
                code_uri="s3://bench/code/",
                parameters={"input_uri": "s3://bench/in/", "output_uri": "s3://bench/out/"},
            )
            ExecutionSensor(task_id="wait", execution_arn=start.output, allow_empty_output=True)  # type: ignore[arg-type]
        else:
            started = StepFunctionStartExecutionOperator(
                task_id="start", state_machine_arn=order.machine_arn, deferrable=True, waiter_delay=5
            )
            StepFunctionGetExecutionOutputOperator(task_id="output", execution_arn=started.output)  # type: ignore[arg-type]
    return dag


def _deployment(machine_arn: str, endpoint_url: str) -> dict[str, Any]:
    """A deployment; the operator needs only its state machine."""
    return {
        "account_id": "123456789012",
        "region": REGION,
        "bucket": "bench",
        "state_machine_arn": machine_arn,
        "processing_role_arn": "arn:aws:iam::123456789012:role/bench",
        "codebuild_project": "bench",
        "repository_name": "bench",
        "repository_uri": IMAGE.partition("@")[0],
        "scikit_image_uri": IMAGE,
        "stack_name": "bench",
        "endpoint_url": endpoint_url,
    }


def carried_out(order: DagRunOrder, calls: Calls) -> dict[str, Any]:
    """The state of the DAG run, and the requests it sent by operation."""
    drop = {"fault": "drop", "when": "after", "operations": ["states:StartExecution"], "times": order.lost_answers}
    set_faults(Server(order.endpoint_url, 0), [drop] if order.lost_answers else [])
    calls.clear()
    run = AirflowRuns().run(dag_of(order), Failures())
    return {"state": str(run.run.state.value), "sent": dict(calls.sent)}


def main(orders_file: str, answers_file: str) -> None:
    """Carry out the orders and write what became of them."""
    initdb()
    calls = Calls().install()
    orders = [DagRunOrder(**order) for order in json.loads(Path(orders_file).read_text())]
    Path(answers_file).write_text(json.dumps([carried_out(order, calls) for order in orders]))


if __name__ == "__main__":
    main(*sys.argv[1:])
