"""Runs the model's three scripts by hand, as on a laptop; an execution on the local AWS is compared with that."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from stepbridge.core.names import STAGES
from stepbridge.core.run_report import RunReport
from stepbridge.errors import StepbridgeError

__all__ = ["ByHandError", "ByHandTimes", "image_python", "run_by_hand"]


ROUNDS = 2


class ByHandError(StepbridgeError):
    """A script that ran in a Processing job does not run by hand."""


@dataclass(frozen=True)
class ByHandTimes:
    """Seconds from the start of each stage's script to its end, by stage; the best of ``ROUNDS``."""

    seconds: Mapping[str, float]

    def beside(self, report: RunReport) -> Iterator[tuple[str, float, float]]:
        """Stage, seconds of its state in the execution, seconds by hand."""
        for stage in report.stages:
            if stage.seconds is not None and stage.stage in self.seconds:
                yield stage.stage, stage.seconds, self.seconds[stage.stage]


def image_python(images_folder: Path, image_id: str) -> Path:
    """The Python of an image of the process runtime, usable outside of a container."""
    return images_folder / image_id.removeprefix("sha256:") / "venv" / "bin" / "python"


def run_by_hand(
    project: Path, model: str, input_folder: Path, folder: Path, script_python: Path, model_python: Path
) -> ByHandTimes:
    """Run the three scripts on a copy of ``input_folder``, each with ``local <folder>``, in the images' environments.

    Raises ByHandError with what a script printed when it fails.
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
    return ByHandTimes({stage: min(times[stage] for times in rounds) for stage in STAGES})


def _timed(command: list[str]) -> float:
    environment = {"PATH": os.defpath, "HOME": "/nonexistent", "LANG": "C.UTF-8"}  # a job has no more
    started = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    seconds = time.monotonic() - started
    if done.returncode:
        raise ByHandError(" ".join(command), f"exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return seconds
