"""The model as its data scientist has it: scripts in folders, run with python, on a folder of CSV files."""

from __future__ import annotations

import datetime
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.flight_data import write_day

PROJECT = Path(__file__).resolve().parents[3]
STAGES = {
    "preprocessing": PROJECT / "scripts/flight_delay/preprocessing.py",
    "inference": PROJECT / "containers/flight_delay/predict.py",
    "postprocessing": PROJECT / "scripts/flight_delay/postprocessing.py",
}
RunStage = Callable[[str, Path], subprocess.CompletedProcess[str]]
RunByHand = Callable[[Path], Path]


@pytest.fixture(scope="session")
def project() -> Path:
    """The project's root."""
    return PROJECT


@pytest.fixture(scope="session")
def run_stage() -> RunStage:
    """``python <script> local <folder>``, warnings being errors."""

    def run(stage: str, folder: Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-W", "error", str(STAGES[stage]), "local", str(folder)]
        return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)

    return run


@pytest.fixture(scope="session")
def run_by_hand(run_stage: RunStage) -> RunByHand:
    """All three stages, one after the other, on one folder."""

    def run(folder: Path) -> Path:
        for stage in STAGES:
            done = run_stage(stage, folder)
            assert done.returncode == 0, f"{stage}: {done.stderr}"
        return folder

    return run


@pytest.fixture(scope="session")
def first_of_april(tmp_path_factory: pytest.TempPathFactory, run_by_hand: RunByHand) -> Path:
    """A folder with the first day after the training months, the three stages having run on it. To be read only."""
    folder = tmp_path_factory.mktemp("2013-04-01")
    write_day(datetime.date(2013, 4, 1), folder)
    return run_by_hand(folder)
