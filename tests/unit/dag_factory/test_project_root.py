"""Where a project's containers and scripts are found."""

from __future__ import annotations

from pathlib import Path

import pytest

from stepbridge.dag_factory import load_dags
from stepbridge.dag_factory.loader import SETTING, find_project_root
from stepbridge.errors import ConfigurationError

CARD = "input_uri: s3://bucket/in/{{ ds }}/\noutput_uri: s3://bucket/out/{{ ds }}/\n"


def model_in(root: Path, models: Path) -> None:
    """Write a card into ``models`` and the files of its model into ``root``."""
    models.mkdir(parents=True)
    (models / "sales.yaml").write_text(CARD)
    names = ("containers/sales/Dockerfile", "scripts/sales/preprocessing.py", "scripts/sales/postprocessing.py")
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def context_folder(models: Path, project_root: Path | None = None) -> str:
    """The build context of the card's DAG."""
    dag = load_dags(models, project_root=project_root)["sales"]
    return str(dag.get_task("build_image").context_folder)


@pytest.mark.parametrize("root", [".", "dags"])
def test_the_folders_are_beside_dags_or_inside_it(tmp_path: Path, root: str) -> None:
    """The latter where only the DAGs folder is synchronised."""
    model_in(tmp_path / root, tmp_path / "dags/models")
    assert context_folder(tmp_path / "dags/models") == str((tmp_path / root / "containers/sales").resolve())


def test_a_folder_of_scripts_inside_dags_does_not_hide_the_project(tmp_path: Path) -> None:
    """The folder with both wins over the one with one."""
    model_in(tmp_path, tmp_path / "dags/models")
    (tmp_path / "dags/scripts").mkdir()
    assert find_project_root(tmp_path / "dags/models") == tmp_path


def test_the_setting_and_before_it_the_argument_name_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The setting is read from Airflow's configuration, so from the environment too."""
    model_in(tmp_path / "elsewhere", tmp_path / "dags/models")
    monkeypatch.setenv(SETTING, str(tmp_path / "elsewhere"))
    assert context_folder(tmp_path / "dags/models").startswith(str(tmp_path / "elsewhere"))
    monkeypatch.setenv(SETTING, str(tmp_path))
    assert context_folder(tmp_path / "dags/models", tmp_path / "elsewhere").startswith(str(tmp_path / "elsewhere"))


def test_folders_that_are_not_there_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The argument, the setting and the folder of cards."""
    model_in(tmp_path, tmp_path / "dags/models")
    with pytest.raises(ConfigurationError, match="project_root: 'gone' is not there"):
        load_dags(tmp_path / "dags/models", project_root=Path("gone"))
    monkeypatch.setenv(SETTING, str(tmp_path / "gone"))
    with pytest.raises(ConfigurationError, match=SETTING):
        load_dags(tmp_path / "dags/models")
    monkeypatch.delenv(SETTING)
    with pytest.raises(ConfigurationError, match="cards: no such folder"):
        load_dags(tmp_path / "cards")


def test_a_card_without_its_files_says_where_they_were_looked_for(tmp_path: Path) -> None:
    """And how to name another folder."""
    (tmp_path / "dags/models").mkdir(parents=True)
    (tmp_path / "dags/models/sales.yaml").write_text(CARD)
    text = str(load_dags(tmp_path / "dags/models")["sales"].doc_md)
    assert f"containers/sales/Dockerfile does not exist in {tmp_path}" in text
    assert SETTING in text
