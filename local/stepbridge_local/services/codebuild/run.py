"""Runs one build: its phases in order, with CodeBuild's rules about what follows a failure.

https://docs.aws.amazon.com/codebuild/latest/userguide/view-build-details.html#view-build-details-phases
"""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from stepbridge_local.protocols import (
    CommandSandbox,
    Container,
    DockerCommandsFactory,
    ImageRegistry,
    ObjectStore,
    Scope,
    SharedFolder,
)
from stepbridge_local.services.codebuild.aws_command import AwsCli
from stepbridge_local.services.codebuild.buildspec import PHASES, Buildspec, PhaseCommands, parse_buildspec
from stepbridge_local.services.codebuild.errors import BuildError, BuildspecError
from stepbridge_local.services.codebuild.record import BuildRecord
from stepbridge_local.services.codebuild.shell import CONTROL, BuildShell, SandboxError, ShellStoppedError
from stepbridge_local.services.codebuild.shims import ShimServer
from stepbridge_local.services.codebuild.source import fetch_source, inside

__all__ = ["BuildPlan", "BuildRun", "BuildServices"]

SOURCE: Final = "/codebuild/output/src"  # the path of the source in a build
SYSTEM_PATH: Final = "/usr/local/bin:/usr/bin:/bin"
REMOVAL_SECONDS: Final = 30.0
REMOVAL_PAUSE_SECONDS: Final = 0.05
ABORTS_BY_DEFAULT: Final = frozenset({"install", "pre_build"})  # after a failed build phase, post_build still runs


@dataclass(frozen=True)
class BuildServices:
    """The parts of the local AWS that a build uses."""

    store: ObjectStore
    registry: ImageRegistry
    docker_commands: DockerCommandsFactory
    sandbox: CommandSandbox
    check_login: Callable[[], None] = lambda: None  # raises ServiceError when the build may not log in to ECR


@dataclass(frozen=True)
class BuildPlan:
    """The work of one build. ``buildspec`` is a document, or the path of one in the source."""

    scope: Scope
    source_type: str
    source_location: str
    buildspec: str
    environment: Mapping[str, str]  # the variables of project and StartBuild
    codebuild_environment: Mapping[str, str]  # CODEBUILD_* and AWS_*
    timeout_seconds: float


class BuildRun:
    """One build, run by the thread that calls ``run``; any thread may call ``stop``."""

    def __init__(
        self, plan: BuildPlan, record: BuildRecord, services: BuildServices, write_log: Callable[[str], None]
    ) -> None:
        self._plan = plan
        self._record = record
        self._services = services
        self._write_log = write_log
        self._shell: BuildShell | None = None
        self._lock = threading.Lock()
        self._end_wanted = ""  # STOPPED or TIMED_OUT, if the build has to end early

    def stop(self, status: str = "STOPPED") -> None:
        """Kill the running command and end the build with ``status``. Only the first call has an effect."""
        with self._lock:
            self._end_wanted = self._end_wanted or status
            shell = self._shell
        if shell is not None:
            shell.stop()

    def run(self) -> None:
        """Run to the end. The record then has the result."""
        timer = threading.Timer(self._plan.timeout_seconds, self.stop, args=("TIMED_OUT",))
        timer.daemon = True
        timer.start()
        status = "FAULT"
        try:
            status = self._phases()
        except ShellStoppedError:
            self._record.finish(self._end_wanted, _now())
            status = self._end_wanted
        finally:
            timer.cancel()
            self._record.end(status, _now())

    def _phases(self) -> str:
        """The status of the build. Raises ShellStoppedError."""
        # A short path, for the socket inside. Only this user can open the folder.
        scratch = Path(tempfile.mkdtemp(prefix="build-"))
        try:
            with self._phase("PROVISIONING"):
                folder = scratch / "src"
                folder.mkdir()
            buildspec: Buildspec | None = None
            with self._phase("DOWNLOAD_SOURCE") as fail:
                try:
                    buildspec = self._prepare(folder, scratch)
                except BuildError as error:
                    fail(error.status_code, str(error))
            succeeded = buildspec is not None and self._commands(buildspec, folder, scratch)
            for phase in ("UPLOAD_ARTIFACTS", "FINALIZING"):
                with self._phase(phase):
                    self._raise_if_stopped()
            return "SUCCEEDED" if succeeded else "FAILED"
        finally:
            _remove(scratch)

    def _prepare(self, folder: Path, scratch: Path) -> Buildspec:
        plan = self._plan
        if plan.source_type == "S3":
            fetch_source(self._services.store, plan.scope, plan.source_location, folder, scratch)
        if "\n" in plan.buildspec or ":" in plan.buildspec:
            return parse_buildspec(plan.buildspec, "buildspec")
        name = plan.buildspec or "buildspec.yml"
        file = inside(folder, name, "buildspec")
        if not file.is_file():
            raise BuildspecError(name, "not in the source", "a buildspec")
        return parse_buildspec(file.read_text(errors="replace"), name)

    # --- the buildspec's phases ---------------------------------------------------------------------------------------
    def _commands(self, buildspec: Buildspec, folder: Path, scratch: Path) -> bool:
        passwords: dict[str, str] = {}
        environment = self._environment(buildspec)
        services = self._services
        docker = services.docker_commands(services.registry, passwords)
        aws = AwsCli(self._plan.scope, services.registry.find_digest, passwords, services.check_login)
        control = scratch / "control"
        control.mkdir()
        shims = ShimServer(
            control,
            CONTROL,
            services.sandbox.python,
            scratch / "copies",
            lambda call, out: (docker if call.program == "docker" else aws).answer(call, out),
        )
        folders = (SharedFolder(folder, SOURCE, False), SharedFolder(control, CONTROL, True))

        def start(command: Sequence[str], on_line: Callable[[str], None]) -> Container:
            return services.sandbox.start(command, environment, folders, SOURCE, on_line)

        shell = BuildShell(buildspec.shell, start, control, self._write_log)
        with self._lock:
            self._shell = shell
        try:
            self._raise_if_stopped()
            return self._run_phases(buildspec, shell)
        finally:
            shell.close()
            shims.close()

    def _run_phases(self, buildspec: Buildspec, shell: BuildShell) -> bool:
        succeeding = True
        for name in PHASES:
            phase = buildspec.phases.get(name, PhaseCommands())
            if not self._run_phase(name.upper(), phase, shell):
                if succeeding and phase.commands:
                    with suppress(SandboxError):
                        shell.run("export CODEBUILD_BUILD_SUCCEEDING=0")
                succeeding = False
                if phase.aborts if phase.aborts is not None else name in ABORTS_BY_DEFAULT:
                    break
        self._record.exported = [
            {"name": name, "value": value}
            for name in buildspec.exported_variables
            if (value := self._variable(shell, name)) is not None
        ]
        return succeeding

    def _variable(self, shell: BuildShell, name: str) -> str | None:
        try:
            return shell.variable(name)
        except SandboxError:
            return None

    def _run_phase(self, name: str, phase: PhaseCommands, shell: BuildShell) -> bool:
        with self._phase(name) as fail:
            failure = self._first_failure(phase.commands, shell) or None
            last_failure = self._first_failure(phase.finally_commands, shell)
            failure = failure or last_failure
            if failure is not None:
                fail("COMMAND_EXECUTION_ERROR", failure)
        return failure is None

    def _first_failure(self, commands: tuple[str, ...], shell: BuildShell) -> str | None:
        for command in commands:
            self._log(f"Running command {command}")
            try:
                status = shell.run(command)
            except SandboxError as error:
                self._log(f"Command did not end {command}: {error}")
                return f"Error while executing command: {command}. Reason: {error}"
            if status != 0:
                self._log(f"Command did not exit successfully {command} exit status {status}")
                return f"Error while executing command: {command}. Reason: exit status {status}"
        return None

    def _environment(self, buildspec: Buildspec) -> dict[str, str]:
        """The build's environment, with nothing from this process: no credentials, no settings of the host."""
        return {
            "HOME": "/root",
            "TMPDIR": "/tmp",
            "LANG": "C.UTF-8",
            **buildspec.variables,
            **self._plan.environment,
            **self._plan.codebuild_environment,
            "CODEBUILD_SRC_DIR": SOURCE,
            "CODEBUILD_BUILD_SUCCEEDING": "1",
            "PATH": f"{CONTROL}/bin:{SYSTEM_PATH}",
        }

    # --- phases in record and log -------------------------------------------------------------------------------------
    @contextmanager
    def _phase(self, name: str) -> Iterator[Callable[[str, str], None]]:
        """A phase around a block, which may fail it with a status code and a message."""
        context: list[tuple[str, str]] = []
        self._record.begin(name, _now())
        self._log(f"Entering phase {name}")
        yield lambda code, message: context.append((code, message))
        status = "FAILED" if context else "SUCCEEDED"
        code, message = context[0] if context else ("", "")
        self._log(f"Phase complete: {name} State: {status}")
        self._log(f"Phase context status code: {code} Message: {message}")
        self._record.finish(status, _now(), (code, message))

    def _raise_if_stopped(self) -> None:
        if self._end_wanted:
            raise ShellStoppedError

    def _log(self, text: str) -> None:
        stamp = datetime.now(UTC).strftime("%Y/%m/%d %H:%M:%S.%f")
        for line in f"[Container] {stamp} {text}".splitlines():
            self._write_log(line)


def _now() -> datetime:
    return datetime.now(UTC)


def _remove(folder: Path) -> None:
    """Remove the folder, in which a docker command that a stop has left alone may be removing its own files."""
    deadline = time.monotonic() + REMOVAL_SECONDS
    shutil.rmtree(folder, ignore_errors=True)
    while folder.exists():
        time.sleep(REMOVAL_PAUSE_SECONDS)
        shutil.rmtree(folder, ignore_errors=time.monotonic() < deadline)
