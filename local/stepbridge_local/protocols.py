"""What the services of the local AWS need from each other, as protocols and plain values.

SageMaker and CodeBuild know neither moto nor a container engine: they see an ``ObjectStore``, a ``LogSink``, an
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
    """An AWS API error as the client shall see it: ``code`` is the AWS exception name, ``message`` its text."""

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
    """The S3 of the local AWS, reached in process. Raises ServiceError NoSuchBucket or NoSuchKey."""

    def list_objects(self, scope: Scope, bucket: str, prefix: str) -> Iterator[ObjectSummary]:
        """The objects whose key starts with ``prefix``, in key order."""

    def download(self, scope: Scope, bucket: str, key: str, destination: Path) -> None:
        """Write the object to ``destination``, whose parent folder exists."""

    def read(self, scope: Scope, bucket: str, key: str) -> Iterator[bytes]:
        """The object's content in chunks; what it raises comes before the first one."""

    def upload(self, scope: Scope, source: Path, bucket: str, key: str) -> None:
        """Store the file ``source`` as the object."""


# --- CloudWatch Logs --------------------------------------------------------------------------------------------------
class LogSink(Protocol):
    """CloudWatch Logs of the local AWS, reached in process. Makes group and stream when they do not exist."""

    def write(self, scope: Scope, group: str, stream: str, lines: Sequence[str]) -> None:
        """Append lines, without their line ends, stamped with the time of the call."""


# --- images and containers --------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class BuiltImage:
    """An image that a runtime holds. ``image_id`` is ``sha256:<64 hex>`` and names it within that runtime."""

    image_id: str
    size_bytes: int
    config: Mapping[str, Any]  # OCI image configuration: Env, Entrypoint, Cmd, WorkingDir, Labels


class ImageRegistry(Protocol):
    """The ECR of the local AWS, reached in process."""

    def resolve(self, image_uri: str) -> str:
        """The ``image_id`` of ``image_uri`` (``…:tag`` or ``…@sha256:…``); builds prebuilt images on first use.

        Raises ServiceError with code ImageNotFoundException or RepositoryNotFoundException.
        """

    def note(self, image_uri: str, image_id: str) -> str:
        """What the log of a job in this image begins with; empty for most images."""

    def push(self, image_uri: str, image: BuiltImage) -> str:
        """Record the image under ``image_uri`` and return its digest, the ``sha256:…`` of its manifest."""

    def record(self, image_uri: str, manifest: bytes) -> str:
        """Record an image that was pushed elsewhere, by its very manifest, and return its digest."""

    def find_digest(self, scope: Scope, repository_name: str, tag: str) -> str | None:
        """The digest under a tag; None without such a tag. Raises ServiceError RepositoryNotFoundException."""


class ImageHolder(Protocol):
    """What has the content of images whose manifests the ECR of the local AWS records."""

    def hold(self, scope: Scope, repository: str, digest: str, config_digest: str) -> str:
        """The ``image_id`` under which the runtime has the image now. Raises LookupError when it is lost."""

    def has(self, image_id: str) -> bool:
        """Whether the runtime has the image at the moment."""


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

    ``error`` is set when it could not be started at all, and then ``exit_code`` is None; or when it was killed for what
    it did. ``left_behind`` are the names of what it made in its ``working_folder``, as far as the runtime knows.
    """

    exit_code: int | None
    error: str | None = None
    working_folder: str = field(default="", compare=False)
    left_behind: Sequence[str] = field(default=(), compare=False)


class Container(Protocol):
    """A started container."""

    def wait(self, timeout_seconds: float | None = None) -> ContainerExit | None:
        """Block until it ended and its whole output was handed on; None when the timeout passed first."""

    def stop(self, grace_seconds: float) -> None:
        """SIGTERM now, SIGKILL to everything in it after the grace. Returns at once; ``wait`` returns at the end."""


class ContainerRuntime(Protocol):
    """What builds images and runs containers."""

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

        Never raises for what the user wrote: a container that cannot start is one whose ``wait`` has ``error``.
        """

    def close(self) -> None:
        """Kill every container that still runs. Idempotent."""


# --- the commands of builds -------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class SharedFolder:
    """``source`` of this machine, seen in a sandbox at ``target``."""

    source: Path
    target: str
    read_only: bool


class CommandSandbox(Protocol):
    """Where the shell commands of builds run: apart from this machine's files, environment and processes."""

    @property
    def python(self) -> str:
        """The path of the Python that is there."""

    def start(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        folders: Sequence[SharedFolder],
        working_folder: str,
        on_line: Callable[[str], None],
    ) -> Container:
        """Start a command with nothing but this environment and these folders.

        One that cannot be started is a container whose ``wait`` has ``error``.
        """


# --- the docker commands of builds ------------------------------------------------------------------------------------
Output = Callable[[str, bool], None]
"""``output(line, is_error)``: one line to a command's standard output or error."""


@dataclass(frozen=True)
class CommandCall:
    """A command that a build ran. ``standard_input`` is read for commands that take a password from there.

    The files that it names are those of the build's sandbox: ``fetch(path)`` gives a copy of a file or folder, made for
    this command, with the links in it as they are. ``path`` is relative to the folder that the command runs in.
    FileNotFoundError where there is none.
    """

    program: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    standard_input: str
    fetch: Callable[[str], Path]
    is_abandoned: Callable[[], bool] = lambda: False  # whether the command was killed while it is answered


class DockerCommands(Protocol):
    """Answers the ``docker`` commands of one build."""

    def answer(self, call: CommandCall, output: Output) -> int:
        """The exit status of a command."""


DockerCommandsFactory = Callable[[ImageRegistry, Mapping[str, str]], DockerCommands]
"""``factory(registry, passwords)``: the commands of one build, which pull from and push to ``registry``.

``passwords`` are those of ``aws ecr get-login-password`` by region; they are filled in as the build asks for them.
"""
