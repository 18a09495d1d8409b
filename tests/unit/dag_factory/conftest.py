"""A project folder to write model cards into."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

WriteCard = Callable[..., Path]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with an empty folder of cards."""
    (tmp_path / "dags/models").mkdir(parents=True)
    return tmp_path


@pytest.fixture
def write_card(project: Path) -> WriteCard:
    """Write a card, by default a right one with all the files that its model needs; returns its path."""

    def write(file_name: str, text: str = "", *, files: bool = True) -> Path:
        path = project / "dags/models" / file_name
        path.write_text(text or "input_uri: s3://bucket/in/{{ ds }}/\noutput_uri: s3://bucket/out/{{ ds }}/\n")
        name = path.stem
        needed = [
            f"containers/{name}/Dockerfile",
            f"scripts/{name}/preprocessing.py",
            f"scripts/{name}/postprocessing.py",
        ]
        for file in needed if files else []:
            (project / file).parent.mkdir(parents=True, exist_ok=True)
            (project / file).touch()
        return path

    return write
