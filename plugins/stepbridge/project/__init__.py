"""What a project has of stepbridge: the loader, the stack, the state machine, the local scikit-learn image.

In the repository these files stand at its root, which is a project itself. A wheel carries them under ``files``
(``force-include`` in pyproject.toml). What only a new project gets is under ``template``.
"""

from pathlib import Path
from typing import Final

from stepbridge.atomic_write import write_atomically
from stepbridge.errors import ConfigurationError

__all__ = ["PROJECT_FILES", "packaged_project", "write_project"]

PROJECT_FILES: Final = (
    "asl/batch_inference.asl.json",
    "containers/scikit_learn/Dockerfile",
    "containers/scikit_learn/requirements.txt",
    "dags/broken_cards.py",
    "dags/models.py",
    "infra/stack.yaml",
)

_PACKAGE: Final = Path(__file__).parent
# Name in a project -> name below "template". Build tools and git would read a .gitignore in this package as their own.
_TEMPLATE_FILES: Final = {
    ".gitignore": "gitignore",
    "README.md": "README.md",
    "dags/models/README.md": "dags/models/README.md",
}


def packaged_project() -> Path:
    """The folder that has ``PROJECT_FILES``: in the installed wheel, or the root of the repository.

    Raises ConfigurationError where only the package was copied, as into a plugins folder.
    """
    repository = _PACKAGE.parents[2]
    for folder in (_PACKAGE / "files", repository):
        if all((folder / name).is_file() for name in PROJECT_FILES):
            return folder
    found = f"none in {_PACKAGE}"
    raise ConfigurationError("stepbridge's project files", found, "the wheel or a clone", "pip install stepbridge")


def write_project(folder: Path) -> list[str]:
    """Write a new project into ``folder``, which is made if need be; return the files' names below it.

    Raises ConfigurationError, and writes nothing, when one of the files is there already, and OSError, which names the
    file, where one cannot be written: then none stays.
    """
    sources = {name: packaged_project() / name for name in PROJECT_FILES}
    sources |= {name: _PACKAGE / "template" / source for name, source in _TEMPLATE_FILES.items()}
    existing = sorted(name for name in sources if (folder / name).exists())
    if existing:
        remedy = "name another folder; nothing was written"
        raise ConfigurationError(str(folder), f"{', '.join(existing)} exist already", "a new project", remedy)
    try:
        for name, source in sources.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            write_atomically(folder / name, source.read_bytes())
    except OSError:
        for file in (folder / name for name in sources):
            if file.is_file():
                file.unlink()
        raise
    return sorted(sources)
