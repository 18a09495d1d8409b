"""Creates and extends virtual environments inside the sandbox of containers, with network access."""

from __future__ import annotations

import importlib.metadata
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from uv import find_uv_bin

from stepbridge_local.errors import ImageBuildError
from stepbridge_local.runtimes.process.containers import RunningContainers
from stepbridge_local.runtimes.process.dockerfile.instructions import InstallPackages
from stepbridge_local.runtimes.process.dockerfile.pip_command import PipInstall
from stepbridge_local.runtimes.process.folders import SessionFolder, link_tree, remove_tree, tree_size
from stepbridge_local.runtimes.process.image import ENVIRONMENT_PATH, PythonInstallation, python_image_config
from stepbridge_local.runtimes.process.image_store import ImageStore, Layer
from stepbridge_local.runtimes.process.package_index import cache_folder, index_binds, index_environment, translated
from stepbridge_local.runtimes.process.sandbox import Bind, LaunchSpec, host_layout, launch_spec

__all__ = ["EnvironmentBuilder"]

TOOL_FOLDER: Final = "/run/stepbridge"
CACHE_FOLDER: Final = f"{TOOL_FOLDER}/uv-cache"
UV: Final = f"{TOOL_FOLDER}/uv"
KEPT_LINES: Final = 12  # number of lines of a failed command's output in the error

# Byte code is compiled once here instead of by every job, except for modules that jobs hardly import: tests and pip.
COMPILE: Final = (
    "python",
    "-m",
    "compileall",
    "-qq",
    "-j",
    "0",
    "-x",
    "/tests?/|/site-packages/pip/",
    f"{ENVIRONMENT_PATH}/lib",
)


class EnvironmentBuilder:
    """Makes layers of virtual environments for one store.

    New environments are created inside the cache of packages if that is on the store's file system. Then uv can link
    files instead of copying them (a link cannot cross a mount), and a package of many images is on disk only once.
    """

    def __init__(self, store: ImageStore, environ: Mapping[str, str], containers: RunningContainers) -> None:
        self._store = store
        self._environ = dict(environ)
        self._containers = containers
        self._temporary: SessionFolder | None = None
        self._temporary_lock = threading.Lock()
        self._cache = cache_folder(environ).resolve()

    def close(self) -> None:
        """Remove incomplete environments."""
        if self._temporary is not None:
            self._temporary.close()

    def python_layer(self, key: str, python: PythonInstallation, log: Callable[[str], None]) -> Layer:
        """The layer of an empty environment with pip in it."""
        with self._store.making(key):
            known = self._store.layer(key)
            if known is not None:
                return known
            log(f"Making an environment of Python {python.version} ({python.executable})")
            commands = [
                [UV, "venv", "--no-config", "--allow-existing", "--python", python.executable, ENVIRONMENT_PATH]
            ]
            if (wheel := _bundled_pip(python)) is not None:
                commands.append([*_uv_install(), "--no-index", "--no-deps", str(wheel)])
            return self._made(key, python, None, None, commands, "/", {}, f"python:{python.version}", log)

    def installed_layer(
        self,
        key: str,
        python: PythonInstallation,
        below: Layer,
        rootfs: Path,
        step: InstallPackages,
        where: str,
        log: Callable[[str], None],
    ) -> Layer:
        """The layer that ``step`` makes on top of ``below``. Raises ImageBuildError."""
        with self._store.making(key):
            known = self._store.layer(key)
            if known is not None:
                return known
            commands = [[*_uv_install(), *install.arguments] for install in step.installs]
            variables = _variables(step.variables, step.installs)
            return self._made(key, python, below, rootfs, commands, step.working_dir, variables, where, log)

    def _made(
        self,
        key: str,
        python: PythonInstallation,
        below: Layer | None,
        rootfs: Path | None,
        commands: Sequence[Sequence[str]],
        working_folder: str,
        variables: Mapping[str, str],
        where: str,
        log: Callable[[str], None],
    ) -> Layer:
        with ExitStack() as leaving:
            growing = self._growing_folder(key)
            leaving.callback(remove_tree, growing)
            tree = growing / "tree"
            if below is not None:
                link_tree(below.tree, tree)
            Path(f"{tree}{ENVIRONMENT_PATH}").mkdir(parents=True, exist_ok=True)
            for command in (*commands, COMPILE):
                self._run(tree, rootfs, python, command, working_folder, variables, where, log)
            return self._store.add_layer(key, growing, _packages(tree, python), tree_size(tree))

    def _growing_folder(self, key: str) -> Path:
        with self._temporary_lock:
            if self._temporary is None:
                self._store.folder.mkdir(parents=True, exist_ok=True)
                self._cache = _usable(self._cache) or self._store.folder / "uv-cache"
                self._cache.mkdir(parents=True, exist_ok=True)
                one_disk = self._cache.stat().st_dev == self._store.folder.stat().st_dev
                self._temporary = SessionFolder(
                    self._cache / "environments" if one_disk else self._store.temporary_folder
                )
            return self._temporary.new(key[:12])

    def _run(
        self,
        tree: Path,
        rootfs: Path | None,
        python: PythonInstallation,
        command: Sequence[str],
        working_folder: str,
        variables: Mapping[str, str],
        where: str,
        log: Callable[[str], None],
    ) -> None:
        """Run one command in the sandbox, its output to ``log``."""
        lines: list[str] = []

        def on_line(line: str) -> None:
            log(line)
            lines.append(line)
            del lines[:-KEPT_LINES]

        try:
            job_folder = self._containers.new_folder("build")
            spec = self._spec(tree, rootfs, python, command, working_folder, variables, job_folder)
            container = self._containers.launch(spec, on_line)
        except OSError as error:
            raise ImageBuildError(where, f"the build could not be started: {error}") from error
        end = container.wait()
        assert end is not None, "wait without a timeout returns at the end only"
        if end.error is not None:
            raise ImageBuildError(where, end.error)
        if end.exit_code != 0 and command is not COMPILE:  # a package may hold files of another Python's grammar
            shown = " ".join(command).replace(UV, "uv")
            output = "\n".join(lines)
            raise ImageBuildError(where, f"`{shown}` ended with exit code {end.exit_code}:\n{output}")

    def _spec(
        self,
        tree: Path,
        rootfs: Path | None,
        python: PythonInstallation,
        command: Sequence[str],
        working_folder: str,
        variables: Mapping[str, str],
        job_folder: Path,
    ) -> LaunchSpec:
        """The sandbox for one command that works on ``tree``."""
        empty = job_folder / "empty"
        empty.mkdir()
        links, binds, environment = self._surroundings(tree)
        return launch_spec(
            host_layout(),
            job_folder=job_folder,
            rootfs=rootfs or empty,
            environment_layer=None,
            python_prefix=python.prefix,
            command=command,
            environment={**dict(python_image_config(python.version).env), **environment, **translated(variables)},
            working_folder=working_folder,
            name="build",
            binds=binds,
            links=links,
        )

    def _surroundings(self, tree: Path) -> tuple[dict[str, str], list[Bind], dict[str, str]]:
        """The links, binds and variables with which uv works on ``tree``."""
        environment = {
            **index_environment(self._environ),
            "UV_CACHE_DIR": CACHE_FOLDER,
            "UV_NO_CONFIG": "1",
            "UV_NO_PROGRESS": "1",
            "UV_PYTHON_DOWNLOADS": "never",
            "VIRTUAL_ENV": ENVIRONMENT_PATH,
        }
        binds = [Bind(find_uv_bin(), UV), Bind(str(self._cache), CACHE_FOLDER, read_only=False)]
        known = (*host_layout().shared, *host_layout().folders)
        binds += [
            bind
            for bind in index_binds(environment)
            if not any(Path(bind.source).is_relative_to(folder) for folder in known)
        ]
        own = Path(f"{tree}{ENVIRONMENT_PATH}")
        if own.is_relative_to(self._cache):
            inside = Path(CACHE_FOLDER) / own.relative_to(self._cache)
            return {ENVIRONMENT_PATH: str(inside)}, binds, environment
        environment["UV_LINK_MODE"] = "copy"
        return {}, [*binds, Bind(str(own), ENVIRONMENT_PATH, read_only=False)], environment


def _usable(folder: Path) -> Path | None:
    """The folder, unless this user can neither make it nor write to it."""
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    return folder if existing.is_dir() and os.access(existing, os.W_OK | os.X_OK) else None


def _uv_install() -> list[str]:
    return [UV, "pip", "install", "--python", f"{ENVIRONMENT_PATH}/bin/python"]


def _variables(variables: Sequence[tuple[str, str]], installs: Sequence[PipInstall]) -> dict[str, str]:
    """The Dockerfile's variables, and those that its commands set in front of themselves."""
    return {**dict(variables), **dict(pair for install in installs for pair in install.variables)}


def _bundled_pip(python: PythonInstallation) -> Path | None:
    """The pip that comes with a Python, so that ``python -m pip`` works in a job as in the official image."""
    library = Path(python.prefix, "lib", f"python{python.minor_version}")
    folders = (library / "ensurepip/_bundled", Path("/usr/share/python-wheels"))
    return next((wheel for folder in folders for wheel in sorted(folder.glob("pip-*.whl"))), None)


def _packages(tree: Path, python: PythonInstallation) -> tuple[str, ...]:
    site = f"{tree}{ENVIRONMENT_PATH}/lib/python{python.minor_version}/site-packages"
    found = importlib.metadata.distributions(path=[os.fspath(site)])
    return tuple(sorted(f"{distribution.name}=={distribution.version}" for distribution in found))
