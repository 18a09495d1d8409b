"""What a start pays for when its answer is lost, and what one whole DAG run asks of AWS: in a real task runner."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any, Final

from tests.bench.figures import Table
from tests.bench.servers import REGION, Server, client_of, local_aws

__all__ = ["starts"]

ROLE: Final = "arn:aws:iam::123456789012:role/bench"
MACHINE: Final = {"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 3, "End": True}}}
RUN_SECONDS: Final = 600
SIDES: Final = ("stepbridge", "provider")
CASES: Final = {
    "nothing": 0,
    "the answer of StartExecution, once": 1,
    "its answers for a whole try (6 times); the task is retried": 6,
}
"""How many answers are lost, one after the other: the request arrives and is carried out."""


def starts(folder: Path) -> Table:
    """Executions paid for and requests made, per side and number of lost answers."""
    with local_aws(folder / "local-aws") as server:
        s3 = client_of(server, "s3")
        s3.create_bucket(Bucket="bench")
        s3.put_object(Bucket="bench", Key="in/day.txt", Body=b"raw")  # nothing is started without input
        asked = [(lost, side, _machine(server, f"{side}-{CASES[lost]}")) for lost, side in product(CASES, SIDES)]
        orders = [
            {"side": side, "machine_arn": machine, "endpoint_url": server.url, "lost_answers": CASES[lost]}
            for lost, side, machine in asked
        ]
        answers = _answers(server, folder, orders)
        runs = [
            {"lost": lost, "side": side, "executions": _executions(server, machine), **answer}
            for (lost, side, machine), answer in zip(asked, answers, strict=True)
        ]
    failed = [run for run in runs if run["state"] != "success"]
    if failed:
        raise RuntimeError(f"DAG runs that should have succeeded: {failed}")
    return _table(runs)


def _table(runs: Sequence[dict[str, Any]]) -> Table:
    by_operation = [
        f"{run['side']}, a whole run: " + ", ".join(f"{name} {count}" for name, count in sorted(run["sent"].items()))
        for run in runs
        if not CASES[run["lost"]]
    ]
    return Table(
        title="One DAG run when answers are lost",
        columns=("lost", "operators of", "executions paid", "DAG run", "requests"),
        rows=[
            [run["lost"], run["side"], str(run["executions"]), run["state"], str(sum(run["sent"].values()))]
            for run in runs
        ],
        notes=[
            "the provider's operator names no execution: each repeated request, botocore's own too, starts another one",
            *by_operation,
            "stepbridge's requests include the run report: history, inputs and outputs, written to S3",
        ],
        values={"runs": runs},
    )


def _machine(server: Server, name: str) -> str:
    client = client_of(server, "stepfunctions")
    return str(client.create_state_machine(name=name, definition=json.dumps(MACHINE), roleArn=ROLE)["stateMachineArn"])


def _executions(server: Server, machine: str) -> int:
    pages = client_of(server, "stepfunctions").get_paginator("list_executions").paginate(stateMachineArn=machine)
    return sum(len(page["executions"]) for page in pages)


def _answers(server: Server, folder: Path, orders: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the DAG runs came to, in a process with an Airflow database of its own. Raises RuntimeError with its log."""
    orders_file, answers_file = folder / "orders.json", folder / "answers.json"
    orders_file.write_text(json.dumps(orders))
    extra = {"region_name": REGION, "endpoint_url": server.url}
    connection = {"conn_type": "aws", "login": "local", "password": "local", "extra": extra}
    plain = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "AIRFLOW_"))}
    environment = plain | {
        "AIRFLOW_HOME": str(folder / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW_CONN_AWS_DEFAULT": json.dumps(connection),
    }
    command = [sys.executable, "-m", "tests.bench.dag_runs", str(orders_file), str(answers_file)]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=RUN_SECONDS, check=False)
    if ended.returncode:
        raise RuntimeError(f"{command}:\n{ended.stdout[-4000:]}\n{ended.stderr[-4000:]}")
    answers: list[dict[str, Any]] = json.loads(answers_file.read_text())
    return answers
