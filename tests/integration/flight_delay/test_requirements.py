"""What the images of the demo install."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import uv


@pytest.mark.long
@pytest.mark.parametrize("python_version", ["3.12", "3.13"])
@pytest.mark.parametrize("image", ["scikit_learn", "flight_delay"])
def test_there_are_wheels_for_newer_pythons(image: str, python_version: str, project: Path) -> None:
    """Where the machine has no Python 3.11, the images are built on one of these; nothing has to be compiled."""
    requirements = project / "containers" / image / "requirements.txt"
    command = [uv.find_uv_bin(), "pip", "compile", "--quiet", "--only-binary", ":all:", "--no-deps", "--no-annotate"]
    command += ["--python-version", python_version, str(requirements)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr
    resolved = [line for line in done.stdout.splitlines() if line and not line.startswith(("#", "-"))]
    assert any(line.startswith("scikit-learn==") for line in resolved)
