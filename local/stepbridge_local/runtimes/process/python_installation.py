"""Finds a Python of a wanted version on this machine, or the nearest one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from stepbridge_local.runtimes.process.errors import USE_DOCKER, PythonNotFoundError
from stepbridge_local.runtimes.process.image import PythonInstallation

__all__ = ["describe_other", "find_python", "nearest_first", "own_python"]

_PROBE_SECONDS: Final = 20
_OLDEST_MINOR: Final = 8  # the oldest stand-in for another version: current packages have no wheels for older ones
_NEWEST_MINOR: Final = 20  # the search ends here; newer ones do not exist yet
_DEFAULT_PATH: Final = "/usr/local/bin:/usr/bin:/bin"
_PROBE: Final = """
import json, os, sys
executable = os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)
print(json.dumps(["%d.%d.%d" % sys.version_info[:3], sys.base_prefix, executable]))
"""


def own_python() -> PythonInstallation:
    """The Python that runs this program, outside of its virtual environment."""
    base = getattr(sys, "_base_executable", None) or sys.executable
    version = ".".join(map(str, sys.version_info[:3]))
    return PythonInstallation(version, str(Path(sys.base_prefix).resolve()), str(Path(base).resolve()))


def find_python(wanted: str, environ: Mapping[str, str], own: PythonInstallation | None = None) -> PythonInstallation:
    """A Python that matches ``wanted`` (see ``PythonInstallation.is_a``), otherwise the nearest one of this machine.

    For each minor version, this program's own (``own``) comes first, then those on PATH, of uv and of pyenv. Nearest
    are the next newer ones, then the next older ones down to 3.8. Raises PythonNotFoundError, for example for 2.7.
    """
    own = own or own_python()
    if own.is_a(wanted):
        return own
    minor = ".".join(wanted.split(".")[:2])
    broken: list[str] = []
    for version in (minor, *nearest_first(minor)):
        found = _find_minor(version, environ, own, broken)
        if found is not None:
            return found
    raise PythonNotFoundError(
        f"Python {wanted}",
        "not on this machine" + (f" (these did not start: {', '.join(broken)})" if broken else ""),
        f"a Python {minor} on PATH, or FROM python:{own.minor_version}",
        f"install it (`uv python install {minor}`), or {USE_DOCKER}",
    )


def nearest_first(minor: str) -> list[str]:
    """The minor versions that may stand in for ``minor``, like ``3.11``: newer ones, then older ones down to 3.8.

    Programs and wheels for a Python more often work on a newer one. Empty for anything but Python 3.
    """
    major, _, number = minor.partition(".")
    if major != "3" or not number:
        return []
    newer = range(int(number) + 1, _NEWEST_MINOR + 1)
    older = range(int(number) - 1, _OLDEST_MINOR - 1, -1)
    return [f"3.{other}" for other in (*newer, *older) if other >= _OLDEST_MINOR]


def describe_other(wanted: str, python: PythonInstallation) -> str:
    """A message: why ``python`` is used instead of ``wanted``."""
    minor = ".".join(wanted.split(".")[:2])
    return f"this machine has no Python {minor}; running on {python.version}, the nearest it has"


def _find_minor(
    minor: str, environ: Mapping[str, str], own: PythonInstallation, broken: list[str]
) -> PythonInstallation | None:
    """A Python of this minor version. Those that do not start are added to ``broken``."""
    if own.is_a(minor):
        return own
    for candidate in _candidates(minor, environ):
        installation = _probed(candidate)
        if installation is None:
            broken.append(str(candidate))
        elif installation.is_a(minor):
            return installation
    return None


def _candidates(minor: str, environ: Mapping[str, str]) -> Iterator[Path]:
    home = Path(environ.get("HOME", "/nonexistent"))
    data = Path(environ.get("XDG_DATA_HOME") or home / ".local/share")
    managed = Path(environ.get("UV_PYTHON_INSTALL_DIR") or data / "uv/python")
    pyenv = Path(environ.get("PYENV_ROOT") or home / ".pyenv") / "versions"
    for folder in map(Path, filter(None, environ.get("PATH", _DEFAULT_PATH).split(":"))):
        if os.access(folder / f"python{minor}", os.X_OK):
            yield folder / f"python{minor}"
    for folder, pattern in ((managed, f"cpython-{minor}*/bin/python{minor}"), (pyenv, f"{minor}*/bin/python{minor}")):
        if os.access(folder, os.R_OK | os.X_OK):
            yield from sorted(folder.glob(pattern), reverse=True)


def _probed(executable: Path) -> PythonInstallation | None:
    """The interpreter's own description. None if it does not start, like some version managers' shims."""
    command = [str(executable), "-I", "-S", "-c", _PROBE]
    try:
        answer = subprocess.run(command, capture_output=True, timeout=_PROBE_SECONDS, check=True, text=True)
    except (OSError, subprocess.SubprocessError):
        return None
    version, prefix, base = json.loads(answer.stdout)
    return PythonInstallation(version, prefix, base)
