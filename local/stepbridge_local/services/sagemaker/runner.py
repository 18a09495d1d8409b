"""Runs one job, from its image to its outputs, in one thread; any other thread may stop it."""

from __future__ import annotations

import logging
import shutil
import stat
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Lock, Thread

from stepbridge_local.protocols import (
    Container,
    ContainerExit,
    ContainerRuntime,
    ImageRegistry,
    LogSink,
    ObjectStore,
    ServiceError,
)
from stepbridge_local.services.sagemaker.errors import (
    ContainerLostError,
    DataUploadError,
    ExitMessageError,
    ImageError,
    JobError,
)
from stepbridge_local.services.sagemaker.host import Host, hosts_of
from stepbridge_local.services.sagemaker.inputs import S3Inputs
from stepbridge_local.services.sagemaker.job import Event, Outcome, ProcessingJob, Status
from stepbridge_local.services.sagemaker.job_logs import LOG_GROUP, LogStream
from stepbridge_local.services.sagemaker.outcome import StopCause, exit_message, job_outcome
from stepbridge_local.services.sagemaker.outputs import ContinuousUpload, upload_at_end
from stepbridge_local.services.sagemaker.pipe_inputs import PipeFeeds
from stepbridge_local.services.sagemaker.stored_nothing import MARK, notes_on_silence

__all__ = ["JobRun", "JobServices", "remove_tree"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class JobServices:
    """The parts of the local AWS that a job needs. ``stop_grace_seconds`` is the time from SIGTERM to SIGKILL.

    ``job_speed`` is how fast the maximum runtime passes.
    """

    store: ObjectStore
    logs: LogSink
    registry: ImageRegistry
    runtime: ContainerRuntime
    stop_grace_seconds: float
    job_speed: Callable[[], float] = lambda: 1.0


class JobRun:
    """One job's run. ``run`` is called once, by the thread of the job; ``stop`` by any thread, at any time.

    ``report`` is called when the containers run and when the maximum runtime ends the job.
    """

    def __init__(
        self, job: ProcessingJob, services: JobServices, workspace: Path, report: Callable[[Event], None]
    ) -> None:
        self._job = self.job = job
        self._services = services
        self._workspace = workspace
        self._report = report
        self._lock = Lock()
        self._containers: list[Container] = []
        self._cause: StopCause | None = None
        self._began = 0.0
        self._feeds = PipeFeeds(lambda: self.stop(StopCause.INPUT))

    def run(self) -> Outcome:
        """Run the job to its end, delete its workspace, and return how it ended."""
        try:
            return self._run()
        except JobError as error:
            return Outcome(Status.FAILED, error.failure_reason)
        finally:
            self._feeds.end()
            remove_tree(self._workspace)

    def stop(self, cause: StopCause, grace_seconds: float | None = None) -> None:
        """Stop the running containers and start no more. The first cause counts."""
        with self._lock:
            self._cause = self._cause or cause
            for container in self._containers:
                container.stop(self._services.stop_grace_seconds if grace_seconds is None else grace_seconds)

    @property
    def _goes_on(self) -> bool:
        return self._cause is None

    def _run(self) -> Outcome:
        image_id = self._image()  # a prebuilt image is built here the first time, which takes a while
        if not self._goes_on:
            return self._outcome(())
        hosts = self._prepared_hosts()
        outputs = self._job.request.get("ProcessingOutputConfig", {}).get("Outputs", [])
        ml_folders = [host.ml_folder for host in hosts]
        store, scope = self._services.store, self._job.scope
        continuous = ContinuousUpload(store, scope, outputs, ml_folders)
        exits = self._run_containers(hosts, image_id, continuous)
        outcome = self._outcome(exits)
        try:
            continuous.finish()
            if outcome.status is Status.COMPLETED:  # jobs that failed or were stopped upload nothing at their end
                upload_at_end(store, scope, outputs, ml_folders)
                self._note_silence(hosts, exits)
        except DataUploadError as error:
            if outcome.status is Status.COMPLETED:
                outcome = Outcome(Status.FAILED, error.failure_reason)
            else:  # the job keeps the reason it has
                _log.warning("processing job %s: %s", self._job.name, error)
        return self._with_message(outcome, hosts)

    def _note_silence(self, hosts: Sequence[Host], exits: Sequence[ContainerExit]) -> None:
        """Log that a job on one instance stored nothing, and which files it left where."""
        if len(hosts) != 1 or len(exits) != 1:
            return
        host = hosts[0]
        lines = notes_on_silence(self._job.request, host.ml_folder, exits[0], self._began)
        try:
            if lines:
                self._services.logs.write(self._job.scope, LOG_GROUP, host.log_stream_name(int(self._began)), lines)
        except ServiceError as error:  # the job has done its work
            _log.warning("processing job %s: %s", self._job.name, error)

    def _outcome(self, exits: Sequence[ContainerExit]) -> Outcome:
        return job_outcome(exits, self._cause, self._job.max_runtime_seconds, self._feeds.error)

    def _image(self) -> str:
        uri = self._job.request["AppSpecification"]["ImageUri"]
        try:
            return self._services.registry.resolve(uri)
        except ServiceError as error:
            raise ImageError("AppSpecification.ImageUri", f"{uri}: {error}") from error

    def _prepared_hosts(self) -> Sequence[Host]:
        """The instances with folders, configuration and inputs in place."""
        hosts = hosts_of(self._job, self._workspace)
        given = self._job.request.get("ProcessingInputs", [])
        inputs = S3Inputs(self._services.store, self._job.scope, given, lambda: self._goes_on)
        for host in hosts:
            host.lay_out()
        inputs.find()
        for host in hosts:
            inputs.download(host.ml_folder, host.index, len(hosts))
            for pipe in inputs.pipes(host.ml_folder, host.index, len(hosts)):
                self._feeds.open(pipe)
        return hosts

    def _run_containers(
        self, hosts: Sequence[Host], image_id: str, continuous: ContinuousUpload
    ) -> Sequence[ContainerExit]:
        """Start a container for each host and wait until all have ended. Returns their exits in that order."""
        with ExitStack() as streams:
            ended: SimpleQueue[ContainerExit | None] = SimpleQueue()
            self._began = time.time()
            try:
                for host in hosts:
                    stream = LogStream(self._services.logs, self._job.scope, host.log_stream_name(int(self._began)))
                    container = self._start(host, image_id, streams.enter_context(stream))
                    if container is not None:
                        Thread(target=_hand_over, args=(container, ended), name=f"{host.name}-end", daemon=True).start()
                if self._containers:
                    self._report(Event.STARTED)
                continuous.start()
                exits = self._collect(ended, len(self._containers))
                self._feeds.end()
                return exits
            except BaseException:
                self.stop(StopCause.SHUTDOWN, 0.0)  # whatever the error is, no container is left running
                continuous.end()
                raise

    def _start(self, host: Host, image_id: str, stream: LogStream) -> Container | None:
        """Start the container of a host, unless the job is being stopped."""
        if not self._goes_on:
            return None
        if note := self._services.registry.note(self._job.request["AppSpecification"]["ImageUri"], image_id):
            stream.write(f"{MARK}{note}")
        container = self._services.runtime.start(host.container_spec(image_id), stream.write)
        with self._lock:
            self._containers.append(container)
            if self._cause is not None:  # the stop came while the container was starting, and did not reach it
                container.stop(self._services.stop_grace_seconds)
        return container

    def _collect(self, ended: SimpleQueue[ContainerExit | None], count: int) -> Sequence[ContainerExit]:
        """How ``count`` containers ended. The maximum runtime and the first failure stop those that still run."""
        deadline = time.monotonic() + self._job.max_runtime_seconds / self._services.job_speed()
        exits: list[ContainerExit] = []
        while len(exits) < count:
            try:
                last = ended.get(timeout=max(0.0, deadline - time.monotonic()) if self._goes_on else None)
            except Empty:
                self._report(Event.STOP_REQUESTED)
                self.stop(StopCause.MAX_RUNTIME)
                continue
            if last is None:
                raise ContainerLostError(f"job {self._job.name}", "the runtime lost a container")
            exits.append(last)
            if self._goes_on and last.exit_code != 0 and len(exits) < count:
                self.stop(StopCause.SIBLING)
        return exits

    def _with_message(self, outcome: Outcome, hosts: Sequence[Host]) -> Outcome:
        try:
            return replace(outcome, exit_message=exit_message([host.message() for host in hosts]))
        except ExitMessageError as error:  # a job that failed or was stopped keeps that reason
            return Outcome(Status.FAILED, error.failure_reason) if outcome.status is Status.COMPLETED else outcome


def _hand_over(container: Container, ended: SimpleQueue[ContainerExit | None]) -> None:
    """Wait for a container's end and pass it on. None if the runtime does not know it, so nobody waits for ever."""
    exit_: ContainerExit | None = None
    try:
        exit_ = container.wait()
    finally:
        ended.put(exit_)


def remove_tree(folder: Path) -> None:
    """Remove a job's workspace; what cannot be removed is logged and left for the next start of the local AWS."""
    if not folder.exists():
        return
    refused: list[str] = []
    shutil.rmtree(folder, onerror=lambda _, path, error: refused.append(f"{path}: {error[1]}"))
    if refused:  # usually because of folders that the job has made read-only
        _make_writable(folder)
        shutil.rmtree(folder, onerror=lambda _, path, error: _log.warning("cannot remove %s: %s", path, error[1]))


def _make_writable(folder: Path) -> None:
    try:
        folder.chmod(stat.S_IRWXU)
        inner = [entry for entry in folder.iterdir() if entry.is_dir() and not entry.is_symlink()]
    except OSError as error:
        _log.warning("cannot open %s: %s", folder, error)
        return
    for entry in inner:
        _make_writable(entry)
