"""Pipe inputs: the objects of an input as one stream into a FIFO, once for each pass of the container.

SageMaker provides an input like this (seen in a job on AWS, and documented for training at
https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-algo-running-container.html):
``<LocalPath>/<InputName>_0`` is the FIFO of the first epoch, ``…_1`` that of the second, and so on; the next one exists
in advance. ``<LocalPath>/<InputName>-manifest`` lists the objects from its second line on.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import stat
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

from stepbridge_local.protocols import ServiceError
from stepbridge_local.services.sagemaker.errors import DataDownloadError

__all__ = ["PipeFeeds", "PipeInput", "StreamedObject", "decompressed"]

_LONGEST_PAUSE_SECONDS = 0.05  # between two checks for a reader, or whether it continues to read
_SHORTEST_PAUSE_SECONDS = 0.002
_PIPE_BYTES = 1 << 20  # instead of 64 KiB: fewer changes between writer and reader
_DECOMPRESSED_CHUNK_BYTES = 1 << 20
_GZIP = 16 + zlib.MAX_WBITS  # tells zlib to expect a gzip header and trailer
_NO_READER = frozenset({errno.ENXIO, errno.ENOENT, errno.EACCES, errno.ELOOP})  # or hidden by the container


@dataclass(frozen=True)
class StreamedObject:
    """An object of a Pipe input: its location, for messages and the manifest, and its content on request."""

    uri: str
    content: Callable[[], Iterator[bytes]]


@dataclass(frozen=True)
class PipeInput:
    """One Pipe input of one instance. ``folder`` is its LocalPath as this process sees it."""

    name: str
    uri: str
    folder: Path
    objects: Sequence[StreamedObject]
    gzip: bool


class PipeFeeds:
    """Feeds the Pipe inputs of a job, each from a thread of its own, until ``end``.

    ``on_error`` is called when an object cannot be streamed, and ``error`` says why. The reader is left waiting,
    because an early end would look like the end of the data.
    """

    def __init__(self, on_error: Callable[[], None]) -> None:
        self._on_error = on_error
        self._ended = Event()
        self._threads: list[Thread] = []
        self.error: DataDownloadError | None = None

    def open(self, given: PipeInput) -> None:
        """Create the manifest and the first FIFOs, and begin to feed them. Raises DataDownloadError."""
        if sys.platform != "linux":
            raise _download_error(
                given.name, "only on Linux do a container and this process share FIFOs; use S3InputMode File"
            )
        try:
            feeder = _Feeder(given, self._ended)
        except OSError as error:
            raise _download_error(given.name, f"its FIFO cannot be made: {error}") from error
        thread = Thread(target=self._feed, args=(feeder,), name=f"pipe-{given.name}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def end(self) -> None:
        """Stop feeding, and return when no thread is left. Idempotent."""
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _feed(self, feeder: _Feeder) -> None:
        try:
            feeder.run()
        except (ServiceError, OSError, EOFError, zlib.error) as error:
            self.error = self.error or _download_error(feeder.name, str(error))
            self._on_error()
            self._ended.wait()
        finally:
            feeder.close()


class _Feeder:
    """The FIFOs of one input, epoch after epoch. Whatever the container does to them, no open or write here hangs."""

    def __init__(self, given: PipeInput, ended: Event) -> None:
        self._given = given
        self._ended = ended
        given.folder.mkdir(parents=True, exist_ok=True)
        manifest = "".join(f"{line}\n" for line in (given.uri, *(streamed.uri for streamed in given.objects)))
        (given.folder / f"{given.name}-manifest").write_text(manifest, encoding="utf-8", errors="surrogateescape")
        # Kept open, because the container may replace the folder with a link, which this process must not follow.
        self._writer: int | None = None
        self._folder = os.open(given.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            for epoch in (0, 1):
                self._make(epoch)
        except OSError:
            self.close()
            raise

    @property
    def name(self) -> str:
        return self._given.name

    def close(self) -> None:
        """Close the FIFO that is being read, which ends its data, and the folder."""
        self._hang_up()
        os.close(self._folder)

    def run(self) -> None:
        """Serve one reader after the other until the job has ended. Raises the error of an object that cannot be read.

        The reader that is being served then waits until ``close``.
        """
        epoch = 0
        while self._found_reader(epoch):
            with suppress(BrokenPipeError):  # the reader closed early, which ends this epoch
                self._send()
            # First remove the name, then end the data, so that nobody opens this FIFO again afterwards.
            self._remove(epoch)
            self._hang_up()
            epoch += 1
            try:
                self._make(epoch + 1)
            except FileNotFoundError:
                return  # the container has removed the folder, so nobody can read from it

    def _make(self, epoch: int) -> None:
        os.mkfifo(self._name(epoch), 0o644, dir_fd=self._folder)

    def _remove(self, epoch: int) -> None:
        try:
            os.unlink(self._name(epoch), dir_fd=self._folder)
        except FileNotFoundError:
            return  # the container has removed it

    def _name(self, epoch: int) -> str:
        return f"{self._given.name}_{epoch}"

    def _hang_up(self) -> None:
        if self._writer is not None:
            os.close(self._writer)
            self._writer = None

    def _found_reader(self, epoch: int) -> bool:
        """True when a reader has opened the epoch's FIFO, which is then open for writing. False if the job ended."""
        pause = _SHORTEST_PAUSE_SECONDS
        while not self._ended.wait(pause):
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
            try:
                # Opening a FIFO without a reader would block for ever. Without blocking it fails, so it is repeated.
                flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW
                descriptor = os.open(self._name(epoch), flags, dir_fd=self._folder)
            except OSError as error:
                if error.errno not in _NO_READER:
                    raise
                continue
            if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
                with suppress(PermissionError):  # this user's pipes already use much memory: the pipe stays smaller
                    fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
                self._writer = descriptor
                return True
            os.close(descriptor)  # the container put something else in its place
        return False

    def _send(self) -> None:
        for streamed in self._given.objects:
            content = streamed.content()
            try:
                for chunk in decompressed(content) if self._given.gzip else content:
                    self._write(chunk)
            except zlib.error as error:
                raise zlib.error(f"{streamed.uri}: it cannot be decompressed: {error}") from error
            if self._ended.is_set():
                return

    def _write(self, chunk: bytes) -> None:
        """Write everything, unless the job ends before the reader has read it. Raises BrokenPipeError."""
        rest = memoryview(chunk)
        descriptor = self._writer
        assert descriptor is not None
        poller = select.poll()
        poller.register(descriptor, select.POLLOUT)
        while rest and not self._ended.is_set():
            if poller.poll(_LONGEST_PAUSE_SECONDS * 1000):
                try:
                    rest = rest[os.write(descriptor, rest) :]
                except BlockingIOError:
                    continue


def decompressed(compressed: Iterable[bytes]) -> Iterator[bytes]:
    """The content of a gzip file in chunks of bounded size; nothing for an empty one. Raises zlib.error.

    A file may consist of several members (``cat a.gz b.gz``), which are one stream (RFC 1952).
    """
    member, members = None, 0
    for chunk in compressed:
        rest = chunk
        while rest:
            if member is None and members and not (rest := rest.lstrip(b"\0")):
                break  # zeros that pad a tape's block; gzip skips them too
            member = member or zlib.decompressobj(_GZIP)
            yield member.decompress(rest, _DECOMPRESSED_CHUNK_BYTES)
            if member.eof:
                rest, member, members = member.unused_data, None, members + 1
            else:
                rest = member.unconsumed_tail
    if member is not None:
        yield member.flush()
        if not member.eof:
            raise zlib.error("the file ends early")


def _download_error(name: str, found: str) -> DataDownloadError:
    return DataDownloadError(f"ProcessingInput {name}", f'input "{name}": {found}')
