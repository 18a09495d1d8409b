"""The scikit-learn Dockerfile that comes with the package."""

from __future__ import annotations

from pathlib import Path

import pytest

from stepbridge_local.settings import SCIKIT_LEARN_FOLDER

PROJECT = Path(__file__).parents[3] / "containers" / "scikit_learn"


@pytest.mark.parametrize("name", ["Dockerfile", "requirements.txt"])
def test_it_is_the_projects(name: str) -> None:
    """A clone of the repository has the same image, so that a job sees the same packages in both."""
    assert (SCIKIT_LEARN_FOLDER / name).read_bytes() == (PROJECT / name).read_bytes()
