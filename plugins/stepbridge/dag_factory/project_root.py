"""Where a project's ``containers`` and ``scripts`` are, seen from its model cards."""

from pathlib import Path
from typing import Final

from airflow.sdk.configuration import conf

from stepbridge.errors import ConfigurationError

SETTING: Final = "AIRFLOW__STEPBRIDGE__PROJECT_ROOT"
_FOLDERS: Final = ("containers", "scripts")


def find_project_root(models_folder: Path, given: Path | None = None) -> Path:
    """The folder that holds ``containers`` and ``scripts``.

    It is ``given``, or else the setting ``project_root`` in the section ``[stepbridge]`` of Airflow's configuration.
    Without both it is the folder that has ``dags``, as in a repository, or the DAGs folder itself, as where only that
    is synchronised: whichever has both folders, or else one of them. If none has, it is the former, and the cards that
    need files say that they are missing. Raises ConfigurationError for a folder that was given or set and does not
    exist.
    """
    if given is not None:
        return _existing(given, "project_root")
    if setting := conf.get("stepbridge", "project_root", fallback=None):
        return _existing(Path(setting), SETTING)
    dags_folder = models_folder.parent
    return max((dags_folder.parent, dags_folder), key=lambda root: sum((root / name).is_dir() for name in _FOLDERS))


def _existing(folder: Path, where: str) -> Path:
    if not folder.is_absolute() or not folder.is_dir():
        expected = f"the absolute path of a folder that has {' and '.join(_FOLDERS)}"
        raise ConfigurationError(where, f"{str(folder)!r} is not there", expected)
    return folder
