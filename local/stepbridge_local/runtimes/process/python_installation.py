"""Finds a Python of a wanted version on this machine."""

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

__all__ = ["find_python", "own_python"]

_PROBE_SECONDS: Final = 20
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


def find_python(wanted: str, environ: Mapping[str, str]) -> PythonInstallation:
    """A Python whose version begins with ``wanted`` (``3``, ``3.11`` or ``3.11.7``; the last number may differ).

    This program's own comes first, then those on PATH, of uv and of pyenv. Raises PythonNotFoundError.
    """
    minor = ".".join(wanted.split(".")[:2])
    own = own_python()
    if not wanted or _begins(own.version, minor):
        return own
    found = []
    for candidate in _candidates(minor, environ):
        installation = _probed(candidate)
        if installation is not None and _begins(installation.version, minor):
            return installation
        found += [str(candidate)] if installation is None else []
    raise PythonNotFoundError(
        f"Python {wanted}",
        "not on this machine" + (f" (these did not start: {', '.join(found)})" if found else ""),
        f"a Python {minor} on PATH, or FROM python:{own.minor_version}",
        f"install it (`uv python install {minor}`), or {USE_DOCKER}",
    )


def _begins(version: str, wanted: str) -> bool:
    return f"{version}.".startswith(f"{wanted}.")


def _candidates(minor: str, environ: Mapping[str, str]) -> Iterator[Path]:
    home = Path(environ.get("HOME", "/nonexistent"))
    data = Path(environ.get("XDG_DATA_HOME") or home / ".local/share")
    managed = Path(environ.get("UV_PYTHON_INSTALL_DIR") or data / "uv/python")
    pyenv = Path(environ.get("PYENV_ROOT") or home / ".pyenv") / "versions"
    folders = [Path(folder) for folder in environ.get("PATH", os.defpath).split(":") if folder]
    for folder in (*folders, Path("/usr/local/bin"), Path("/usr/bin")):
        if os.access(folder / f"python{minor}", os.X_OK):
            yield folder / f"python{minor}"
    for folder, pattern in ((managed, f"cpython-{minor}*/bin/python{minor}"), (pyenv, f"{minor}*/bin/python{minor}")):
        if os.access(folder, os.R_OK | os.X_OK):
            yield from sorted(folder.glob(pattern), reverse=True)


def _probed(executable: Path) -> PythonInstallation | None:
    """What the interpreter says of itself; None when it does not start, as a version manager's stand-in may not."""
    command = [str(executable), "-I", "-S", "-c", _PROBE]
    try:
        answer = subprocess.run(command, capture_output=True, timeout=_PROBE_SECONDS, check=True, text=True)
    except (OSError, subprocess.SubprocessError):
        return None
    version, prefix, base = json.loads(answer.stdout)
    return PythonInstallation(version, prefix, base)
