"""What the process runtime does for each instruction of a Dockerfile, or why it refuses it and what to write. Pure."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Final

from stepbridge_local.errors import Problem
from stepbridge_local.runtimes.process.dockerfile.parser import (
    Dockerfile,
    Instruction,
    exec_form,
    expand,
    split_words,
    unquoted,
)
from stepbridge_local.runtimes.process.dockerfile.pip_command import (
    CommandRefusedError,
    PipInstall,
    pip_installs,
    shell_commands,
)
from stepbridge_local.runtimes.process.errors import USE_DOCKER
from stepbridge_local.runtimes.process.image import ENVIRONMENT_PATH, ImageConfig

__all__ = ["BaseReference", "CopyFiles", "InstallPackages", "MakeFolder", "Plan", "Step", "base_of", "plan_dockerfile"]

RESERVED_FOLDER: Final = "/opt/ml"
UNREACHABLE_FOLDERS: Final = ("/proc", "/dev", "/sys", ENVIRONMENT_PATH)
PREDEFINED_ARGS: Final = frozenset({"HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY"})
_VERSION: Final = re.compile(r"(\d+(?:\.\d+){0,2})(?=$|[-.a-z])")
# https://docs.docker.com/reference/dockerfile/: those that are refused here, and run with Docker.
DOCKER_INSTRUCTIONS: Final = frozenset({"HEALTHCHECK", "MAINTAINER", "ONBUILD", "SHELL", "STOPSIGNAL", "VOLUME"})
_HONOURED: Final = "FROM, ARG, ENV, WORKDIR, COPY, RUN pip install, ENTRYPOINT, CMD, LABEL, EXPOSE or USER"


@dataclass(frozen=True)
class BaseReference:
    """What FROM names. ``python_version`` (``3``, ``3.11``, ``3.11.7`` or empty) is None for any other image."""

    image: str
    line: int
    python_version: str | None = None
    platform: str = ""  # of --platform


@dataclass(frozen=True)
class CopyFiles:
    """COPY: patterns below the context into ``destination``, absolute, ending in ``/`` where it must be a folder."""

    line: int
    text: str
    sources: tuple[str, ...]
    destination: str
    mode: int | None = None


@dataclass(frozen=True)
class MakeFolder:
    """WORKDIR: the folder exists from here on."""

    line: int
    text: str
    path: str


@dataclass(frozen=True)
class InstallPackages:
    """RUN pip install: in ``working_dir``, with the variables of ENV and ARG."""

    line: int
    text: str
    installs: tuple[PipInstall, ...]
    working_dir: str
    variables: tuple[tuple[str, str], ...]


Step = CopyFiles | MakeFolder | InstallPackages


@dataclass(frozen=True)
class Plan:
    """The steps in their order, and the configuration of the resulting image."""

    steps: tuple[Step, ...]
    config: ImageConfig
    notes: tuple[str, ...] = ()


class _RefusedError(ValueError):
    """Used inside the planner: the instruction is not supported as written."""

    def __init__(self, found: str, expected: str, remedy: str = USE_DOCKER) -> None:
        super().__init__(found, expected, remedy)
        self.found, self.expected, self.remedy = found, expected, remedy


# --- FROM -------------------------------------------------------------------------------------------------------------
def base_of(dockerfile: Dockerfile, build_args: Mapping[str, str]) -> BaseReference | Problem:
    """What the first FROM names, with the ARGs in front of it filled in."""
    variables: dict[str, str] = {}
    for instruction in dockerfile.instructions:
        if instruction.name == "ARG":
            for name, value in _args(instruction, variables, dockerfile.escape):
                variables[name] = build_args.get(name, value or "")
        if instruction.name == "FROM":
            try:
                return _base(instruction, variables, dockerfile.escape)
            except (_RefusedError, ValueError) as error:
                return _problem(dockerfile.source, instruction, error)
    return Problem(f"{dockerfile.source}:1", "no FROM", "FROM python:<version>", "begin the Dockerfile with it")


def _base(instruction: Instruction, variables: Mapping[str, str], escape: str) -> BaseReference:
    platform = ""
    for name, value in instruction.flags:
        if name != "platform":
            raise _RefusedError(f"the option --{name}", "FROM with --platform at most")
        platform = expand(value, variables, escape)
    words = [expand(word, variables, escape) for word in instruction.value.split()]
    if not words or not words[0] or len(words) not in (1, 3) or (len(words) == 3 and words[1].lower() != "as"):
        raise _RefusedError(f"{instruction.value!r}", "FROM image [AS name]", "correct it")
    image = words[0]
    name = image.partition("@")[0].rpartition("/")[2]
    repository, _, tag = name.partition(":")
    if repository != "python":
        return BaseReference(image, instruction.line, None, platform)
    match = _VERSION.match(tag)
    if tag and match is None and tag not in ("latest", "slim", "alpine"):
        raise _RefusedError(f"the tag {tag}", "a tag that begins with a version, like python:3.11-slim")
    return BaseReference(image, instruction.line, match[1] if match else "", platform)


def _args(instruction: Instruction, variables: Mapping[str, str], escape: str) -> Iterator[tuple[str, str | None]]:
    for word in split_words(instruction.value, escape):
        name, equals, value = word.partition("=")
        yield name, expand(value, variables, escape) if equals else None


def _problem(source: str, instruction: Instruction, error: ValueError) -> Problem:
    where = f"{source}:{instruction.line}: {instruction.name}"
    if isinstance(error, _RefusedError):
        return Problem(where, error.found, error.expected, error.remedy)
    return Problem(where, str(error), "what Docker's own parser reads", "correct it")


# --- everything else --------------------------------------------------------------------------------------------------
def plan_dockerfile(
    dockerfile: Dockerfile, build_args: Mapping[str, str], base: ImageConfig
) -> tuple[Plan, tuple[Problem, ...]]:
    """The plan for an image on top of one with the configuration ``base``, and all problems."""
    planner = _Planner(dockerfile, build_args, base)
    for instruction in dockerfile.instructions:
        planner.take(instruction)
    unused = sorted(set(build_args) - planner.declared - PREDEFINED_ARGS)
    if unused:
        planner.notes.append(f"no ARG takes the build arguments {', '.join(unused)}")
    return planner.plan(), tuple(planner.problems)


@dataclass
class _Planner:
    """Goes through the instructions and keeps the state that they have set so far."""

    dockerfile: Dockerfile
    build_args: Mapping[str, str]
    config: ImageConfig
    steps: list[Step] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    global_args: dict[str, str] = field(default_factory=dict)
    args: dict[str, str] = field(default_factory=dict)
    declared: set[str] = field(default_factory=set)
    stages: int = 0
    cmd_is_own: bool = False

    def plan(self) -> Plan:
        return Plan(tuple(self.steps), self.config, tuple(self.notes))

    def take(self, instruction: Instruction) -> None:
        with self._refusing(instruction):
            if instruction.heredocs:
                remedy = f"put it into one, which COPY brings, or {USE_DOCKER}"
                raise _RefusedError("a here-document", "the content as a file of the context", remedy)
            if not self.stages and instruction.name not in ("FROM", "ARG"):
                raise _RefusedError("it stands before FROM", "FROM first", "move it")
            handler = _HANDLERS.get(instruction.name)
            if handler is None and instruction.name not in DOCKER_INSTRUCTIONS:
                raise _RefusedError("an instruction that Docker does not know either", _HONOURED, "correct it")
            if handler is None:
                raise _RefusedError("an instruction that the process runtime does not honour", _HONOURED)
            handler(self, instruction)

    @contextmanager
    def _refusing(self, instruction: Instruction) -> Iterator[None]:
        try:
            yield
        except ValueError as error:
            self.problems.append(_problem(self.dockerfile.source, instruction, error))

    @property
    def variables(self) -> dict[str, str]:
        return {**self.args, **dict(self.config.env)}

    def _expand(self, word: str) -> str:
        return expand(word, self.variables, self.dockerfile.escape)

    def _words(self, value: str) -> list[str]:
        return split_words(value, self.dockerfile.escape)

    def _pairs(self, instruction: Instruction) -> dict[str, str]:
        """``a=b c="d e"``, or the old form ``a b c`` for one name."""
        words = self._words(instruction.value)
        if not words or (len(words) == 1 and "=" not in words[0]):
            raise _RefusedError(f"{instruction.value!r}", "name=value", "give it a value")
        if "=" not in words[0]:
            return {words[0]: self._expand(instruction.value.split(maxsplit=1)[1])}
        pairs: dict[str, str] = {}
        for word in words:
            name, equals, value = word.partition("=")
            if not equals or not name:
                raise _RefusedError(f"{word!r}", "name=value", "quote a value that holds spaces")
            pairs[unquoted(name, self.dockerfile.escape)] = self._expand(value)
        return pairs

    def _absolute(self, path: str) -> str:
        joined = posixpath.normpath(posixpath.join(self.config.working_dir, path))
        return "/" + joined.lstrip("/")

    # One method per instruction.
    def _from(self, instruction: Instruction) -> None:
        self.stages += 1
        if self.stages > 1:
            raise _RefusedError(f"a second stage ({instruction.value})", "one FROM")

    def _arg(self, instruction: Instruction) -> None:
        for name, default in _args(
            instruction, self.variables if self.stages else self.global_args, self.dockerfile.escape
        ):
            self.declared.add(name)
            inherited = self.global_args.get(name) if self.stages else None
            value = self.build_args.get(name, default if default is not None else inherited)
            if value is not None:
                (self.args if self.stages else self.global_args)[name] = value

    def _env(self, instruction: Instruction) -> None:
        self.config = replace(self.config, env=_merged(self.config.env, self._pairs(instruction)))

    def _label(self, instruction: Instruction) -> None:
        self.config = replace(self.config, labels=_merged(self.config.labels, self._pairs(instruction)))

    def _workdir(self, instruction: Instruction) -> None:
        path = self._absolute(self._expand(instruction.value))
        self.config = replace(self.config, working_dir=path)
        if PurePosixPath(path).is_relative_to(RESERVED_FOLDER):  # created for every job
            return
        self.steps.append(MakeFolder(instruction.line, instruction.text, self._reachable(path)))

    def _reachable(self, path: str) -> str:
        if PurePosixPath(path).is_relative_to(RESERVED_FOLDER):
            expected = f"a place outside of {RESERVED_FOLDER}, which SageMaker reserves and a job's own folder covers"
            raise _RefusedError(f"{path} as destination", expected, "use another folder, such as /opt/program")
        if any(PurePosixPath(path).is_relative_to(folder) for folder in UNREACHABLE_FOLDERS):
            raise _RefusedError(f"{path} as destination", "a folder that is part of an image", "use another folder")
        return path

    def _copy(self, instruction: Instruction) -> None:
        mode = self._copy_mode(instruction)
        words = exec_form(instruction.value) or self._words(instruction.value)
        paths = [self._expand(word) for word in words]
        if len(paths) < 2 or not all(paths):
            raise _RefusedError(f"{instruction.value!r}", "sources and a destination", "name both")
        *sources, destination = paths
        folder = len(sources) > 1 or destination.endswith("/") or posixpath.basename(destination) in (".", "..")
        if len(sources) > 1 and not destination.endswith(("/", "/.")) and destination != ".":
            raise _RefusedError(
                f"several sources and the destination {destination}", "a destination ending in /", "add it"
            )
        absolute = self._reachable(self._absolute(destination))
        destination = absolute.rstrip("/") + "/" if folder else absolute
        self.steps.append(CopyFiles(instruction.line, instruction.text, tuple(sources), destination, mode))

    def _copy_mode(self, instruction: Instruction) -> int | None:
        mode = None
        for name, value in instruction.flags:
            if name == "chmod" and re.fullmatch(r"[0-7]{3,4}", value):
                mode = int(value, 8)
            elif name == "chown":
                self._note(instruction, f"--chown={value} changes nothing: there is one user, root")
            elif name != "link":
                found = f"the option --{name}{f'={value}' if value else ''}"
                if name == "chmod":
                    raise _RefusedError(found, "an octal mode like 755", f"write it so, or {USE_DOCKER}")
                raise _RefusedError(found, "--chmod with an octal mode, --chown or --link")
        return mode

    def _add(self, instruction: Instruction) -> None:
        remedy = f"write COPY; to unpack or download, {USE_DOCKER}"
        raise _RefusedError(f"ADD {instruction.value}", "COPY for files of the context", remedy)

    def _run(self, instruction: Instruction) -> None:
        for name, value in instruction.flags:
            if name != "mount" or "type=cache" not in value.split(","):
                raise _RefusedError(f"the option --{name}={value}", "RUN pip install, with --mount=type=cache at most")
        words = exec_form(instruction.value)
        try:
            commands = [list(words)] if words else shell_commands(instruction.value, self.variables)
            installs = pip_installs(commands)
        except CommandRefusedError as error:
            expected = "pip install commands, joined by && (this runtime has no shell or package manager to run others)"
            raise _RefusedError(str(error), expected) from error
        self.steps.append(
            InstallPackages(
                instruction.line,
                instruction.text,
                installs,
                self.config.working_dir,
                tuple(sorted(self.variables.items())),
            )
        )

    def _entrypoint(self, instruction: Instruction) -> None:
        command = self._command(instruction)
        # As in Docker: a new ENTRYPOINT resets the CMD of the base image, but not a CMD of the same file.
        self.config = replace(self.config, entrypoint=command, cmd=self.config.cmd if self.cmd_is_own else None)

    def _cmd(self, instruction: Instruction) -> None:
        self.cmd_is_own = True
        self.config = replace(self.config, cmd=self._command(instruction))

    def _command(self, instruction: Instruction) -> tuple[str, ...]:
        items = exec_form(instruction.value)
        if items is not None:
            return items
        if instruction.value.startswith("["):
            found = f"{instruction.value}, which is no JSON array of strings"
            raise _RefusedError(found, 'an array like ["python", "predict.py"]', "use double quotes")
        if not instruction.value:
            raise _RefusedError("no command", "a command", "name one")
        return ("/bin/sh", "-c", instruction.value)

    def _expose(self, instruction: Instruction) -> None:
        ports = [self._expand(word) for word in self._words(instruction.value)]
        named = tuple(port if "/" in port else f"{port}/tcp" for port in ports)
        self.config = replace(self.config, exposed_ports=(*self.config.exposed_ports, *named))

    def _user(self, instruction: Instruction) -> None:
        user = self._expand(instruction.value)
        self.config = replace(self.config, user=user)
        if user.partition(":")[0] not in ("root", "0"):
            self._note(instruction, f"USER {user} is recorded, and the container runs as its only user, root")

    def _note(self, instruction: Instruction, text: str) -> None:
        self.notes.append(f"{self.dockerfile.source}:{instruction.line}: {text}")


def _merged(pairs: tuple[tuple[str, str], ...], new: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple({**dict(pairs), **new}.items())


_HANDLERS: Final[Mapping[str, Callable[[_Planner, Instruction], None]]] = {
    "FROM": _Planner._from,
    "ARG": _Planner._arg,
    "ENV": _Planner._env,
    "LABEL": _Planner._label,
    "WORKDIR": _Planner._workdir,
    "COPY": _Planner._copy,
    "ADD": _Planner._add,
    "RUN": _Planner._run,
    "ENTRYPOINT": _Planner._entrypoint,
    "CMD": _Planner._cmd,
    "EXPOSE": _Planner._expose,
    "USER": _Planner._user,
}
