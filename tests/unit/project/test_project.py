"""``stepbridge init``: what it writes, and that it overwrites nothing."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from stepbridge.deployment._template import read_template
from stepbridge.errors import ConfigurationError
from stepbridge.project import PROJECT_FILES, packaged_project, write_project

ROOT = Path(__file__).parents[3]


def test_a_project_has_the_repositorys_own_files(tmp_path: Path) -> None:
    """Byte for byte; its stack can be read as it is deployed."""
    written = write_project(tmp_path / "new")
    assert {*PROJECT_FILES, "README.md", ".gitignore", "dags/models/README.md"} == set(written)
    for name in PROJECT_FILES:
        assert (tmp_path / "new" / name).read_bytes() == (ROOT / name).read_bytes()
    assert "DefinitionString" in read_template(tmp_path / "new/infra/stack.yaml").body


def test_nothing_is_overwritten_and_nothing_is_half_written(tmp_path: Path) -> None:
    """The error names every file in the way."""
    (tmp_path / "infra").mkdir()
    (tmp_path / "infra/stack.yaml").write_text("mine")
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(ConfigurationError, match=r"README\.md, infra/stack\.yaml exist already"):
        write_project(tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["README.md", "stack.yaml"]


def test_a_wheel_carries_the_files_that_a_project_needs() -> None:
    """The list in pyproject.toml is that of the code."""
    targets = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]
    included = targets["wheel"]["force-include"]
    assert included == {name: f"stepbridge/project/files/{name}" for name in PROJECT_FILES}
    assert packaged_project() == ROOT


def test_the_local_scikit_learn_image_is_the_one_that_the_local_aws_carries() -> None:
    """A project has it to change it; the local AWS by itself has the same, so that both start alike."""
    for name in ("Dockerfile", "requirements.txt"):
        project, local = ROOT / "containers/scikit_learn" / name, ROOT / "local/stepbridge_local/scikit_learn" / name
        assert project.read_bytes() == local.read_bytes()
