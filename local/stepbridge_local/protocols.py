"""What the services of the local AWS need from each other, as protocols and plain values.

SageMaker and CodeBuild depend on neither moto nor a container engine: they use an ``ObjectStore``, a ``LogSink``, an
``ImageRegistry``, a ``ContainerRuntime`` and a ``CommandSandbox``. The first three are implemented on moto, by
``services.s3.moto``, ``services.logs.moto`` and ``services.ecr.moto``; the others by ``runtimes.process`` and
``runtimes.docker``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol


@dataclass(frozen=True)
class Scope:
    """The account and region in which an API call happens."""

    account_id: str
    region: str


class ServiceError(Exception):
    """An AWS API error as the client will see it: ``code`` is the AWS exception name, ``message`` its text."""

    def __init__(self, code: str, message: str, http_status: int = 400) -> None:
        super().__init__(code, message, http_status)
        self.code = code
        self.message = message
        self.http_status = http_status

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


# --- S3 ---------------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class ObjectSummary:
    key: str
    size_bytes: int
    etag: str
    last_modified: datetime


class ObjectStore(Protocol):
    """The S3 of the local AWS, in process. Raises ServiceError NoSuchBucket or NoSuchKey."""

    def list_objects(self, scope: Scope, bucket: str, prefix: str) -> Iterator[ObjectSummary]:
        """The objects whose key starts with ``prefix``, in key order."""

    def download(self, scope: Scope, bucket: str, key: str, destination: Path) -> None:
        """Write the object to ``destination``, whose parent folder exists."""

    def read(self, scope: Scope, bucket: str, key: str) -> Iterator[bytes]:
        """The object's content in chunks. Errors are raised before the first chunk."""

    def upload(self, scope: Scope, source: Path, bucket: str, key: str) -> None:
        """Store the file ``source`` as the object."""


# --- CloudWatch Logs --------------------------------------------------------------------------------------------------
class LogSink(Protocol):
    """CloudWatch Logs of the local AWS, in process. Creates group and stream if they do not exist."""

    def write(self, scope: Scope, group: str, stream: str, lines: Sequence[str]) -> None:
        """Append lines, without their line ends, stamped with the time of the call."""


# --- images and containers --------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class BuiltImage:
    """An image that a runtime has. ``image_id`` is ``sha256:<64 hex>`` and names it within that runtime."""

    image_id: str
    size_bytes: int
    config: Mapping[str, Any]  # OCI image configuration: Env, Entrypoint, Cmd, WorkingDir, Labels


class ImageRegistry(Protocol):
    """The ECR of the local AWS, in process."""

    def resolve(self, image_uri: str) -> str:
        """The ``image_id`` of ``image_uri`` (``…:tag`` or ``…@sha256:…``); builds prebuilt images on first use.

        Raises ServiceError with code ImageNotFoundException or RepositoryNotFoundException.
        """

    def note(self, image_uri: str, image_id: str) -> str:
        """The text with which the log of a job in this image begins; empty for most images."""

    def push(self, image_uri: str, image: BuiltImage) -> str:
        """Record the image under ``image_uri`` and return its digest, the ``sha256:…`` of its manifest."""

    def record(self, image_uri: str, manifest: bytes) -> str:
        """Record an image that was pushed elsewhere, with its manifest unchanged, and return its digest."""

    def find_digest(self, scope: Scope, repository_name: str, tag: str) -> str | None:
        """The digest under a tag; None without such a tag. Raises ServiceError RepositoryNotFoundException."""


class ImageHolder(Protocol):
    """Has the content of images whose manifests are recorded in the local ECR."""

    def hold(self, scope: Scope, repository: str, digest: str, config_digest: str) -> str:
        """The ``image_id`` of the image in the runtime. Raises LookupError if the image is lost."""

    def has(self, image_id: str) -> bool:
        """Whether the runtime has the image now."""


@dataclass(frozen=True)
class ContainerSpec:
    """One container to run, as ``docker run [--entrypoint E] IMAGE [ARGS]`` would."""

    name: str  # unique among running containers
    image_id: str
    ml_folder: Path  # seen inside as /opt/ml, read and written
    entrypoint: Sequence[str] | None = None
    arguments: Sequence[str] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    network_isolated: bool = False
    hostname: str = ""  # empty: the runtime chooses one
    hosts: Mapping[str, str] = field(default_factory=dict)  # names for /etc/hosts, with their loopback addresses
    memory_bytes: int | None = None
    cpus: float | None = None


@dataclass(frozen=True)
class ContainerExit:
    """How a container ended.

    ``error`` is set if it could not be started, and then ``exit_code`` is None. It is also set if the runtime killed
    it for what it did. ``left_behind`` are the names of the files that it made in its ``working_folder``, if known.
    """

    exit_code: int | None
    error: str | None = None
    working_folder: str = field(default="", compare=False)
    left_behind: Sequence[str] = field(default=(), compare=False)


class Container(Protocol):
    """A started container."""

    def wait(self, timeout_seconds: float | None = None) -> ContainerExit | None:
        """Block until it has ended and all its output was passed on. None if the timeout passes first."""

    def stop(self, grace_seconds: float) -> None:
        """SIGTERM now, SIGKILL to all in it after the grace period. Returns at once; ``wait`` returns at the end."""


class ContainerRuntime(Protocol):
    """Builds images and runs containers."""

    name: str  # "process" or "docker"

    def build(
        self,
        context: Path,
        dockerfile: str,
        build_args: Mapping[str, str],
        log: Callable[[str], None],
    ) -> BuiltImage:
        """Build ``context/dockerfile``. Raises ImageBuildError; every line of the build goes to ``log``."""

    def start(self, spec: ContainerSpec, on_line: Callable[[str], None]) -> Container:
        """Start a container; each line of its stdout and stderr, decoded with replacement, goes to ``on_line``.

        Never raises because of user input: if a container cannot start, the result of its ``wait`` has ``error``.
        """

    def close(self) -> None:
        """Kill every container that still runs. Idempotent."""


# --- the commands of builds -------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class SharedFolder:
    """``source`` on this machine, which a sandbox sees at ``target``."""

    source: Path
    target: str
    read_only: bool


class CommandSandbox(Protocol):
    """Runs the shell commands of builds, isolated from this machine's files, environment and processes."""

    @property
    def python(self) -> str:
        """The path of the Python in the sandbox."""

    def start(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        folders: Sequence[SharedFolder],
        working_folder: str,
        on_line: Callable[[str], None],
    ) -> Container:
        """Start a command with only this environment and these folders.

        If it cannot start, the result of its ``wait`` has ``error``.
        """


# --- the docker commands of builds ------------------------------------------------------------------------------------
Output = Callable[[str, bool], None]
"""``output(line, is_error)``: one line to a command's standard output or error."""


@dataclass(frozen=True)
class CommandCall:
    """A command that a build ran. ``standard_input`` is read for commands that take a password from there.

    The files that it names are in the build's sandbox. ``fetch(path)`` returns a copy of a file or folder for this
    command, with its links unchanged. ``path`` is relative to the command's working folder. Raises FileNotFoundError.
    """

    program: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    standard_input: str
    fetch: Callable[[str], Path]
    is_abandoned: Callable[[], bool] = lambda: False  # whether the command was killed before it was answered


class DockerCommands(Protocol):
    """Answers the ``docker`` commands of one build."""

    def answer(self, call: CommandCall, output: Output) -> int:
        """The exit status of a command."""


DockerCommandsFactory = Callable[[ImageRegistry, Mapping[str, str]], DockerCommands]
"""``factory(registry, passwords)``: the commands of one build, which pull from and push to ``registry``.

``passwords`` are those of ``aws ecr get-login-password`` by region; they are filled in as the build asks for them.
"""
