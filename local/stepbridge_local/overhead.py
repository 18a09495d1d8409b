"""The overhead of the local AWS: an execution on an idle machine, compared with the same scripts run by hand."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from stepbridge_local.errors import LocalAwsError

__all__ = ["OverheadError", "image_python", "run_again", "run_by_hand"]

POLL_SECONDS: Final = 0.1
TIMEOUT_SECONDS: Final = 300.0
ROUNDS: Final = 2


class OverheadError(LocalAwsError):
    """An execution that succeeded, or a script that ran in a Processing job, failed when it was run again."""


def run_again(step_functions: Any, execution_arn: str, changes: Mapping[str, object]) -> dict[str, float]:
    """The seconds that each Task state of a new execution takes; ``step_functions`` is boto3's client.

    Its input is that of the execution with the ARN, with ``changes``. Waits for the end. Raises OverheadError when it
    does not succeed.
    """
    first = step_functions.describe_execution(executionArn=execution_arn)
    arn = step_functions.start_execution(
        stateMachineArn=first["stateMachineArn"],
        name=f"overhead-{uuid.uuid4().hex}",
        input=json.dumps({**json.loads(first["input"]), **changes}),
    )["executionArn"]
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while (again := step_functions.describe_execution(executionArn=arn))["status"] == "RUNNING":
        if time.monotonic() > deadline:
            raise OverheadError(arn, f"still RUNNING after {TIMEOUT_SECONDS} s")
        time.sleep(POLL_SECONDS)
    if again["status"] != "SUCCEEDED":
        found = f"{again['status']}: {again.get('error')}: {again.get('cause')}"
        raise OverheadError(arn, found, "to succeed as the first one did")
    return _task_seconds(step_functions, arn)


def _task_seconds(step_functions: Any, execution_arn: str) -> dict[str, float]:
    """From the first request of each Task state to its success."""
    pages = step_functions.get_paginator("get_execution_history").paginate(executionArn=execution_arn)
    state = ""
    scheduled: dict[str, datetime] = {}
    seconds: dict[str, float] = {}
    for event in (event for page in pages for event in page["events"]):
        at: datetime = event["timestamp"]
        match event["type"]:
            case "TaskStateEntered":
                state = event["stateEnteredEventDetails"]["name"]
            case "TaskScheduled":
                scheduled.setdefault(state, at)
            case "TaskSucceeded":
                seconds[state] = (at - scheduled[state]).total_seconds()
    return seconds


def image_python(ecr: Any, data_dir: Path, image: str) -> Path:
    """The Python of an image of the process runtime, usable outside of a container.

    ``image`` is the image's id, or its URI, pinned by digest, for which ``ecr``, boto3's client, is asked.
    """
    if not image.startswith("sha256:"):
        repository, _, digest = image.partition("/")[2].partition("@")
        answer = ecr.batch_get_image(repositoryName=repository, imageIds=[{"imageDigest": digest}])
        image = json.loads(answer["images"][0]["imageManifest"])["config"]["digest"]
    return data_dir / "images" / image.removeprefix("sha256:") / "venv" / "bin" / "python"


def run_by_hand(commands: Mapping[str, Sequence[str | Path]], input_folder: Path, folder: Path) -> dict[str, float]:
    """The seconds that each command takes on ``folder``, a copy of ``input_folder``; the best of ``ROUNDS``.

    They run as ``<command> local <folder>``. Raises OverheadError with the output of one that fails.
    """
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(input_folder, folder)
    # The first round leaves the files in the page cache and the byte code on disk, as they are for the jobs.
    rounds = [
        {name: _timed([*map(str, command), "local", str(folder)]) for name, command in commands.items()}
        for _ in range(ROUNDS)
    ]
    return {name: min(times[name] for times in rounds) for name in commands}


def _timed(command: list[str]) -> float:
    environment = {"PATH": os.defpath, "HOME": "/nonexistent", "LANG": "C.UTF-8"}  # a job has no more
    started = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    seconds = time.monotonic() - started
    if done.returncode:
        raise OverheadError(" ".join(command), f"exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return seconds
