"""Parsing 500 models: a card each through dags/models.py, beside DAGs that people write by hand."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any, Final

from tests.bench.figures import Table, interleaved

__all__ = ["parsing"]

PROJECT: Final = Path(__file__).parents[2]
PARSE_SECONDS: Final = 600
CARD: Final = """schedule: "30 2 * * *"
timezone: America/New_York
input_uri: "s3://bench/{model}/input/{{{{ ds }}}}/"
output_uri: "s3://bench/{model}/output/{{{{ ds }}}}/"
max_runtime: 900
"""
IMPORTS: Final = """from datetime import timedelta
import pendulum
from airflow.providers.amazon.aws.operators.step_function import (
    StepFunctionGetExecutionOutputOperator, StepFunctionStartExecutionOperator)
from airflow.providers.amazon.aws.transfers.local_to_s3 import LocalFilesystemToS3Operator
from airflow.sdk import DAG, Param
"""
# What a card's DAG has: parameters for the form, two uploads or builds, the start, the wait. Written as one would.
BODY: Final = """with DAG(
    {model}, schedule="30 2 * * *", start_date=pendulum.datetime(2024, 1, 1, tz="America/New_York"), catchup=False,
    default_args={{"owner": "data-science", "retries": 2, "retry_delay": timedelta(minutes=5)}},
    params={{
        "input_uri": Param("s3://bench/input/{{{{ ds }}}}/", type="string"),
        "output_uri": Param("s3://bench/output/{{{{ ds }}}}/", type="string"),
        "instance_type": Param("ml.m5.xlarge", type="string"),
        "volume_size": Param(30, type="integer", minimum=1, maximum=16384),
        "max_runtime": Param(900, type="integer", minimum=1, maximum=777600),
    }},
) as dag:
    scripts = [
        LocalFilesystemToS3Operator(
            task_id=f"upload_{{stage}}", filename=f"scripts/{{stage}}.py",
            dest_bucket="bench", dest_key=stage, replace=True)
        for stage in ("preprocessing", "postprocessing")
    ]
    start = StepFunctionStartExecutionOperator(
        task_id="start_execution", state_machine_arn="arn:aws:states:us-east-1:123456789012:stateMachine:bench",
        state_machine_input={{"input_uri": "{{{{ params.input_uri }}}}", "output_uri": "{{{{ params.output_uri }}}}"}},
        deferrable=True)
    scripts >> start >> StepFunctionGetExecutionOutputOperator(task_id="output", execution_arn=start.output)
"""


def parsing(folder: Path, models: int, runs: int) -> Table:
    """Processor seconds of Airflow's own DagBag in fresh processes, in turns, and their largest memory."""
    cards, files, one = _cards(folder / "cards", models), _files(folder / "files", models), _one_file(folder, models)
    last = f"model_{models - 1:03d}"
    ways = {
        "all: cards": (cards, ""),
        "all: a file for each": (files, ""),
        "all: one file with a loop": (one, ""),
        "one, as a task starts: cards": (cards / "models.py", last),
        "one, as a task starts: a file for each": (files / f"{last}.py", last),
        "one, as a task starts: one file with a loop": (one, last),
    }
    memory: dict[str, float] = {}

    def seconds(name: str) -> float:
        parsed = _parsed(folder, *ways[name])
        expected = 1 if name.startswith("one") and "loop" not in name else models
        if parsed["dags"] != expected or parsed["errors"]:
            raise RuntimeError(f"{name}: {parsed['dags']} DAGs of {expected}: {parsed['errors']}")
        memory[name] = max(memory.get(name, 0.0), parsed["memory_mb"])
        return float(parsed["seconds"])

    spreads = interleaved(runs, {name: partial(seconds, name) for name in ways}, uncounted=0)
    base = {kind: spreads[f"{kind}: cards"].median for kind in ("all", "one, as a task starts")}
    rows = [
        [name, spread.shown(3), f"{spread.median / base[name.partition(':')[0]]:.1f}", f"{memory[name]:.0f}"]
        for name, spread in spreads.items()
    ]
    return Table(
        title=f"Parsing {models} models by Airflow's DagBag (imports of Airflow itself not counted)",
        columns=("what", "processor seconds: median (least to most)", "times that of cards", "memory MB"),
        rows=rows,
        notes=[
            "by hand: the provider's operators, four tasks; a card's DAG has four tasks as well, and its form",
            "Airflow's DAG processor reads each file in a process of its own: a file for each costs more there",
            f"{runs} runs each, in turns, each in a fresh process",
        ],
        values={name: vars(spread) | {"memory_mb": memory[name]} for name, spread in spreads.items()},
    )


def _parsed(folder: Path, path: Path, dag_id: str) -> dict[str, Any]:
    plain = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "AIRFLOW_"))}
    environment = plain | {
        "AIRFLOW_HOME": str(folder / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": "600",
    }
    if dag_id:
        environment["_AIRFLOW_PARSING_CONTEXT_DAG_ID"] = dag_id
    command = [sys.executable, "-m", "tests.bench.parse_once", str(path)]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PARSE_SECONDS, check=False)
    if ended.returncode:
        raise RuntimeError(f"{command}:\n{ended.stderr[-4000:]}")
    parsed: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return parsed


def _cards(root: Path, models: int) -> Path:
    """A project's ``dags`` with the loader and ``models`` cards, whose other files are beside it."""
    dags = root / "dags"
    (dags / "models").mkdir(parents=True)
    shutil.copy(PROJECT / "dags" / "models.py", dags)
    for model in _names(models):
        (dags / "models" / f"{model}.yaml").write_text(CARD.format(model=model))
        for needed in (
            f"containers/{model}/Dockerfile",
            f"scripts/{model}/preprocessing.py",
            f"scripts/{model}/postprocessing.py",
        ):
            (root / needed).parent.mkdir(parents=True, exist_ok=True)
            (root / needed).touch()
    return dags


def _files(dags: Path, models: int) -> Path:
    dags.mkdir(parents=True)
    for model in _names(models):
        (dags / f"{model}.py").write_text(IMPORTS + BODY.format(model=repr(model)))
    return dags


def _one_file(folder: Path, models: int) -> Path:
    """The usual loop: every DAG is made whatever the file is read for."""
    body = "".join(f"    {line}\n" for line in BODY.format(model="model").splitlines())
    file = folder / "one.py"
    file.write_text(f"{IMPORTS}for model in {_names(models)!r}:\n{body}    globals()[model] = dag\n")
    return file


def _names(models: int) -> list[str]:
    return [f"model_{number:03d}" for number in range(models)]
