"""From a folder of model cards to DAGs. A broken card does no harm to the other models.

Airflow has one import error per Python file and applies it to every DAG of that file: all of them are marked as stale
and no longer scheduled (``_update_import_errors`` in airflow.dag_processing.collection). So ``load_dags`` raises
nothing: a broken card becomes a DAG that shows what is wrong and fails with it. ``check_cards`` is called from a file
of its own that has no DAGs, and raises: that is the import error which Airflow shows above its list of DAGs.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from airflow.sdk import DAG
from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import AirflowException

from stepbridge.core.model_card import ModelCard, parse_card
from stepbridge.core.yaml_document import LONGEST_DOCUMENT
from stepbridge.dag_factory.broken_card import broken_card_dag
from stepbridge.dag_factory.dag import build_dag
from stepbridge.errors import CardError, ConfigurationError, DocumentError, Problem
from stepbridge.operators.base import CONTAINER_STAGE

SETTING: Final = "AIRFLOW__STEPBRIDGE__PROJECT_ROOT"
_FOLDERS: Final = ("containers", "scripts")
SUFFIXES: Final = (".yaml", ".yml")  # of two cards with one name the first suffix wins


class BrokenCardsError(DocumentError):
    """Some model cards cannot be used; ``problems`` holds the problems of all of them."""


def load_dags(models_folder: Path, dag_id: str | None = None, project_root: Path | None = None) -> dict[str, DAG]:
    """The DAGs by id, one per card in ``models_folder``; only that of ``dag_id`` when it is given and has a card.

    ``dag_id`` is ``get_parsing_context().dag_id``: a worker about to run a task needs that one DAG. ``project_root``
    has the folders ``containers`` and ``scripts``; ``find_project_root`` says where it is unless given. A broken card
    raises nothing: its DAG fails. Raises ConfigurationError for folders that do not exist.
    """
    root = find_project_root(models_folder, project_root)
    paths = _cards_of(models_folder, dag_id) if dag_id else []
    return _load(paths or _cards_of(models_folder), root)[0]


def check_cards(models_folder: Path, project_root: Path | None = None) -> None:
    """Raise BrokenCardsError with every problem of every card in ``models_folder``; return if there is none."""
    root = find_project_root(models_folder, project_root)
    _, errors = _load(_cards_of(models_folder), root)
    problems = [problem for error in errors for problem in error.problems]
    if problems:
        raise BrokenCardsError(_below_root(models_folder, root), problems)


def _cards_of(models_folder: Path, name: str | None = None) -> list[Path]:
    """The paths of the cards, all or those of one name, in a fixed order."""
    if not models_folder.is_dir():
        raise ConfigurationError(str(models_folder), "no such folder", "the folder of the model cards")
    paths = (path for path in models_folder.iterdir() if path.suffix in SUFFIXES and name in (None, path.stem))
    return sorted(paths, key=lambda path: (path.stem, SUFFIXES.index(path.suffix)))


def _load(paths: Iterable[Path], root: Path) -> tuple[dict[str, DAG], list[CardError]]:
    """The DAGs by id, those of broken cards too, and the broken cards' errors."""
    dags: dict[str, DAG] = {}
    placeholders: dict[str, DAG] = {}
    errors: list[CardError] = []
    sources: dict[str, str] = {}
    for path in paths:
        source = _below_root(path, root)
        claimed_by = sources.setdefault(path.stem, source)
        try:
            if claimed_by != source:
                found = f"the model {path.stem!r} is declared by {claimed_by} already"
                remedy = "remove or rename one of the two"
                raise CardError(source, [Problem(source, found, "one card per model", remedy)])
            dags[path.stem] = _dag_of(path, source, root)
        except CardError as error:
            errors.append(error)
            # Airflow allows ASCII letters, digits, dash, dot and underscore.
            dag_id = re.sub(r"[^\w.-]", "_", path.stem, flags=re.ASCII)[:250]
            placeholders.setdefault(dag_id, broken_card_dag(dag_id, error))
    return placeholders | dags, errors


def _dag_of(path: Path, source: str, root: Path) -> DAG:
    """The DAG of the card at ``path``. Raises CardError for whatever is wrong with the card, and nothing else."""
    problems: list[Problem] = []
    try:
        card = parse_card(_text_of(path, source), source)
        problems = _missing_files(card, source, root)
        dag = build_dag(card, root)
    except CardError:
        raise
    except (AirflowException, ValueError) as error:
        raise CardError(source, [Problem(source, f"Airflow refuses it: {error}"), *problems]) from error
    except Exception as error:
        found = f"it cannot be used: {type(error).__name__}: {error}"
        raise CardError(source, [Problem(source, found), *problems]) from error
    if problems:
        raise CardError(source, problems)
    return dag


def _text_of(path: Path, source: str) -> str:
    try:
        if path.exists() and not path.is_file():
            raise OSError("it is no file")  # a pipe would never end
        with path.open(encoding="utf-8") as file:
            return file.read(LONGEST_DOCUMENT + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise CardError(source, [Problem(source, f"it cannot be read: {error}", "a text file in UTF-8")]) from error


def _missing_files(card: ModelCard, source: str, root: Path) -> list[Problem]:
    """A problem for each file that the model needs and does not have."""
    needed = [f"{card.container_folder}/Dockerfile"] if card.builds_image else []
    needed += [f"{card.scripts_folder}/{stage}.py" for stage in card.stages if stage != CONTAINER_STAGE]
    remedy = f"add it, say in the card where it is, or set {SETTING} to the folder that has it"
    return [
        Problem(source, f"{name} does not exist in {root}", "the files of the model", remedy)
        for name in needed
        if not (root / name).is_file()
    ]


def _below_root(path: Path, root: Path) -> str:
    """The path below the project's root, as a person writes it."""
    text = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name
    return text.encode("utf-8", "replace").decode()


def find_project_root(models_folder: Path, given: Path | None = None) -> Path:
    """The folder that holds ``containers`` and ``scripts``.

    It is ``given``, or else the setting ``project_root`` in the section ``[stepbridge]`` of Airflow's configuration.
    Without both it is the folder that has ``dags``, as in a repository, or the DAGs folder itself, as where only that
    is synchronised: whichever has both folders, or else one of them. If none has, it is the former, and the cards that
    need files say that they are missing. Raises ConfigurationError where what was given or set does not exist.
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
