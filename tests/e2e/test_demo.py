"""What a newcomer does: ``make demo``, again, and Ctrl-C in the middle."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

DAY = "2013-07-01"
COMMAND = [sys.executable, "-m", "stepbridge.cli.main", "demo", "--day", DAY, "--port", "0", "--aws-port", "0"]
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state")


def run_demo(state: Path) -> str:
    done = subprocess.run(
        [*COMMAND, "--state", str(state)], cwd=ROOT, capture_output=True, text=True, timeout=850, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def stored(state: Path) -> dict[str, float]:
    """Images and S3 objects of code and builds on disk, with the times at which they were written."""
    folder = state / "local-aws"
    kept = [*folder.glob("images/*"), *(p for p in folder.glob("s3/**/*") if p.is_file() and "stepbridge/" in str(p))]
    return {str(path): path.stat().st_mtime for path in kept}


def test_demo_prints_real_predictions_and_leaves_nothing_running(
    state: Path, leftovers: Callable[[Path], list[str]]
) -> None:
    """It predicts a whole day of flights."""
    output = run_demo(state)
    assert leftovers(state) == []

    folder = state / "predictions" / "flight_delay" / DAY
    with (folder / "predictions.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) > 500
    delays = [float(row["predicted_delay"]) for row in rows]
    assert delays == sorted(delays, reverse=True)
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["flights"] == len(rows)
    assert summary["mean_absolute_error_minutes"] < summary["baseline_mean_absolute_error_minutes"]
    for expected in (
        rows[0]["predicted_delay"],
        "mean absolute error",
        "Overhead of the local AWS",
        "inference",
        f"/predictions/flight_delay/{DAY}",
    ):
        assert expected in output


@pytest.mark.long
def test_a_second_demo_builds_and_uploads_nothing_anew(state: Path, leftovers: Callable[[Path], list[str]]) -> None:
    """Images and objects stay as the first one has left them."""
    if not stored(state):
        run_demo(state)
    built = stored(state)
    assert built
    run_demo(state)
    assert leftovers(state) == []
    assert stored(state) == built


@pytest.mark.parametrize("seconds", [5, *(pytest.param(seconds, marks=pytest.mark.long) for seconds in (0.5, 25))])
def test_ctrl_c_at_any_moment_leaves_no_process(
    tmp_path: Path, seconds: float, leftovers: Callable[[Path], list[str]]
) -> None:
    """An interrupted demo ends within its grace and takes everything with it."""
    process = subprocess.Popen(
        [*COMMAND, "--state", str(tmp_path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        # As in a terminal's foreground: a shell's background jobs, and all below them, ignore the signal.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    time.sleep(seconds)  # the moment is the point of the test
    os.kill(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=240)
    assert process.returncode != 0, output
    assert leftovers(tmp_path) == []
