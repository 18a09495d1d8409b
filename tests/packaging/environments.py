"""Fresh virtual environments with wheels and nothing of the clone, and commands that are run in them."""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
UV = Path(sys.executable).with_name("uv")
TIMEOUT_SECONDS = 280

_IMPORTS = """
import importlib, pkgutil, stepbridge
names = [module.name for module in pkgutil.walk_packages(stepbridge.__path__, "stepbridge.")]
for name in names:
    importlib.import_module(name)
print(len(names))
"""


def made_once(folder: Path, make: Callable[[Path], None]) -> Path:
    """``folder``, filled by ``make`` in the first process that asks for it; the others wait."""
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = folder.with_suffix(".done")
        if not done.exists():
            make(folder)
            done.touch()
    return folder


def outside_variables() -> dict[str, str]:
    """This process's environment without what would lead back to the clone or to another Airflow or AWS."""
    ours = re.compile(r"(AIRFLOW|AWS|PYTHON|PYTEST|VIRTUAL_ENV|STEPBRIDGE)")
    return {name: value for name, value in os.environ.items() if not ours.match(name)}


def run(command: Sequence[str | Path], folder: Path, variables: Mapping[str, str] | None = None) -> str:
    """What the command prints. Fails the test with all it said when its exit code is not 0."""
    done = try_run(command, folder, variables)
    assert done.returncode == 0, f"{command} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def try_run(
    command: Sequence[str | Path], folder: Path, variables: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """The command once it has ended, however that was."""
    return subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env=outside_variables() | dict(variables or {}),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )


def build_wheels(folder: Path) -> None:
    """Build both distributions, each wheel from its source distribution, as a release does."""
    for source in (ROOT, ROOT / "local"):
        run([UV, "build", "--quiet", "--no-build-isolation", "--out-dir", folder, source], ROOT)


def make_environment(folder: Path, python: str, requirements: Sequence[str | Path], constraints: Path) -> None:
    """A virtual environment in which the requirements are installed as any user installs them."""
    run([UV, "venv", "--quiet", "--python", python, folder], ROOT)
    run(
        [UV, "pip", "install", "--quiet", "--python", folder, "--constraint", constraints, *requirements],
        folder,  # not the clone, whose pyproject.toml has settings for uv
    )
    _link_compiled_modules(folder)


def _link_compiled_modules(folder: Path) -> None:
    """Link what is compiled here of the same files; Python takes it where time and size of the source are the same.

    Installing does not compile, so the first command would compile all of Airflow, which takes longer than the rest.
    """
    ours = Path(sysconfig.get_path("purelib"))
    (theirs,) = folder.glob("lib/python*/site-packages")
    if ours.stat().st_dev != theirs.stat().st_dev:
        return
    for compiled in ours.glob(f"**/__pycache__/*.{sys.implementation.cache_tag}.pyc"):
        target = theirs / compiled.relative_to(ours)
        if target.parent.parent.is_dir() and not target.exists():
            target.parent.mkdir(exist_ok=True)
            target.hardlink_to(compiled)


def pins_of_the_lock(file: Path) -> Path:
    """Constraints with the versions of requirements.lock, so that the tests do not change from day to day."""
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    file.write_text("\n".join(line.rstrip(" \\") for line in lines if re.match(r"\w", line)) + "\n")
    return file


@dataclass(frozen=True)
class Environment:
    """A virtual environment with an Airflow home and a working folder of its own."""

    folder: Path
    home: Path

    def program(self, name: str) -> Path:
        return self.folder / "bin" / name

    def variables(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        found = {
            "AIRFLOW_HOME": str(self.home / "airflow"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(self.home / "plugins"),
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
        }
        return found | dict(more or {})

    def run(self, command: str | Sequence[str | Path], more: Mapping[str, str] | None = None) -> str:
        """What a program of this environment prints, started in ``home``."""
        return run(self._command(command), self.home, self.variables(more))

    def try_run(
        self, command: str | Sequence[str | Path], more: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        return try_run(self._command(command), self.home, self.variables(more))

    def import_every_module(self) -> None:
        """Import every module of the installed stepbridge."""
        assert int(self.run(["python", "-c", _IMPORTS]).split()[-1]) > 100

    def _command(self, command: str | Sequence[str | Path]) -> list[str | Path]:
        name, *arguments = command.split() if isinstance(command, str) else command
        return [self.program(str(name)), *arguments]
