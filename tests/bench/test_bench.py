"""The benchmark runs through: every part makes its table and its figures."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PARTS = {"watching", "starts", "parsing", "uploads", "jobs", "storage", "memory"}


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_every_part_of_the_smallest_benchmark_has_figures(tmp_path: Path) -> None:
    """`make bench BENCH=smallest`: the figures mean nothing, but they are all there."""
    figures = tmp_path / "bench.json"
    command = [sys.executable, "-m", "tests.bench", "smallest", "--json", str(figures)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1700, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    parts = json.loads(figures.read_text())["parts"]
    assert set(parts) == PARTS
    for name, part in parts.items():
        assert part["table"]["rows"], name
        assert part["table"]["values"], name
