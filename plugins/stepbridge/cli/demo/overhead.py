"""The overhead of the local AWS: an execution on an idle machine, compared with the same scripts run by hand.

During a DAG run Airflow starts the next task while a stage computes. On a small machine that costs seconds, which are
not the local AWS's. So the execution is run once more when Airflow is idle.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import uuid
from pathlib import Path

from stepbridge.aws.step_functions import StepFunctions
from stepbridge.core.names import STAGES
from stepbridge.core.run_report import RunReport, build_run_report
from stepbridge.core.statuses import execution_status
from stepbridge.errors import StepbridgeError

POLL_SECONDS = 0.1
TIMEOUT_SECONDS = 300.0
ROUNDS = 2


class OverheadError(StepbridgeError):
    """An execution that succeeded, or a script that ran in a Processing job, failed when it was run again."""


def run_again(step_functions: StepFunctions, report: RunReport, output_uri: str) -> RunReport:
    """The report of a new execution with the input of ``report``, which writes to ``output_uri``. Waits for its end.

    Raises OverheadError when it does not succeed.
    """
    name = f"overhead-{uuid.uuid4().hex}"
    text = json.dumps({**report.input, "output_uri": output_uri})
    arn = step_functions.start(str(report.state_machine_arn), name, text)
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not execution_status((execution := step_functions.describe(arn)).status).terminal:
        if time.monotonic() > deadline:
            raise OverheadError(arn, f"still {execution.status} after {TIMEOUT_SECONDS} s")
        time.sleep(POLL_SECONDS)
    again = build_run_report(execution.description, step_functions.history(arn), {})
    if again.status != "SUCCEEDED":
        raise OverheadError(arn, f"{again.status}: {again.error}: {again.cause}", "to succeed as the first one did")
    return again


def image_python(images_folder: Path, image_id: str) -> Path:
    """The Python of an image of the process runtime, usable outside of a container."""
    return images_folder / image_id.removeprefix("sha256:") / "venv" / "bin" / "python"


def run_by_hand(
    project: Path, model: str, input_folder: Path, folder: Path, script_python: Path, model_python: Path
) -> dict[str, float]:
    """The seconds that each stage's script takes on a copy of ``input_folder``; the best of ``ROUNDS``.

    The scripts run as ``<script> local <folder>`` in the images' environments. Raises OverheadError with the output
    of a script that fails.
    """
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(input_folder, folder)
    scripts = project / "scripts" / model
    commands = {
        "preprocessing": [script_python, scripts / "preprocessing.py"],
        "inference": [model_python, project / "containers" / model / "predict.py"],
        "postprocessing": [script_python, scripts / "postprocessing.py"],
    }
    # The first round leaves the files in the page cache and the byte code on disk, as they are for the jobs.
    rounds = [
        {stage: _timed([*map(str, commands[stage]), "local", str(folder)]) for stage in STAGES} for _ in range(ROUNDS)
    ]
    return {stage: min(times[stage] for times in rounds) for stage in STAGES}


def _timed(command: list[str]) -> float:
    environment = {"PATH": os.defpath, "HOME": "/nonexistent", "LANG": "C.UTF-8"}  # a job has no more
    started = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    seconds = time.monotonic() - started
    if done.returncode:
        raise OverheadError(" ".join(command), f"exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return seconds
