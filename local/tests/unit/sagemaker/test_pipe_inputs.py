"""Pipe inputs on real FIFOs: epochs, readers that come late, go early or never come, and what a container may do."""

from __future__ import annotations

import gzip
import os
import shutil
import threading
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stepbridge_local.protocols import ServiceError
from stepbridge_local.services.sagemaker.errors import DataDownloadError
from stepbridge_local.services.sagemaker.pipe_inputs import PipeFeeds, PipeInput, StreamedObject, decompressed


def streamed(*contents: bytes) -> list[StreamedObject]:
    return [
        StreamedObject(f"s3://b/{number}", lambda content=content: iter([content]))  # type: ignore[misc]
        for number, content in enumerate(contents)
    ]


@pytest.fixture
def feeds() -> Iterator[PipeFeeds]:
    """Feeds that must leave no thread behind, and a call of theirs when an object fails."""
    feeds = PipeFeeds(lambda: None)
    yield feeds
    feeds.end()
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("pipe-")] == []


@pytest.fixture
def opened(feeds: PipeFeeds, tmp_path: Path) -> Callable[..., Path]:
    def open_input(*objects: StreamedObject, gzip: bool = False) -> Path:
        feeds.open(PipeInput("data", "s3://b/", tmp_path / "in", objects, gzip))
        return tmp_path / "in"

    return open_input


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_each_epoch_is_a_fifo_of_its_own(opened: Callable[..., Path]) -> None:
    """The objects follow each other as one stream; the next FIFO is there before, a read one is gone afterwards."""
    folder = opened(*streamed(b"one", b"two" * 100_000, b""))
    assert sorted(entry.name for entry in folder.iterdir()) == ["data-manifest", "data_0", "data_1"]
    for epoch in range(3):
        assert (folder / f"data_{epoch}").read_bytes() == b"one" + b"two" * 100_000
        wait_until((folder / f"data_{epoch + 2}").exists)
        assert not (folder / f"data_{epoch}").exists()


def test_the_manifest_lists_the_objects_from_its_second_line_on(opened: Callable[..., Path]) -> None:
    """As in the jobs on AWS that scripts were written for."""
    folder = opened(*streamed(b"1", b"2"))
    assert (folder / "data-manifest").read_text().splitlines()[1:] == ["s3://b/0", "s3://b/1"]


def test_a_reader_that_has_enough_ends_the_epoch(opened: Callable[..., Path]) -> None:
    """It closes after some bytes; the next epoch begins from the start."""
    folder = opened(*streamed(b"0123456789" * 100_000))
    with (folder / "data_0").open("rb", buffering=0) as fifo:
        assert fifo.read(4) == b"0123"
    wait_until((folder / "data_2").exists)
    assert len((folder / "data_1").read_bytes()) == 1_000_000


def test_the_end_comes_whatever_the_reader_does(feeds: PipeFeeds, opened: Callable[..., Path]) -> None:
    """A FIFO that nobody opens and a reader that takes nothing hold up nothing."""
    folder = opened(*streamed(b"x" * 1_000_000))
    feeds.open(PipeInput("never", "s3://b/", folder, streamed(b"y"), False))
    descriptor = os.open(folder / "data_0", os.O_RDONLY)
    began = time.monotonic()
    feeds.end()
    feeds.end()
    assert time.monotonic() - began < 30
    os.close(descriptor)


def test_an_object_that_fails_leaves_its_reader_waiting(tmp_path: Path) -> None:
    """Until the job is stopped: an end of the data would look like all of it. The error names input and object."""

    def gone() -> Iterator[bytes]:
        raise ServiceError("NoSuchKey", "s3://b/gone")

    failed = threading.Event()
    feeds = PipeFeeds(failed.set)
    feeds.open(
        PipeInput("data", "s3://b/", tmp_path, [*streamed(b"first"), StreamedObject("s3://b/gone", gone)], False)
    )
    descriptor = os.open(tmp_path / "data_0", os.O_RDONLY)
    assert failed.wait(60)
    assert os.read(descriptor, 100) == b"first"
    os.set_blocking(descriptor, False)
    with pytest.raises(BlockingIOError):
        os.read(descriptor, 1)
    feeds.end()
    assert os.read(descriptor, 1) == b""
    os.close(descriptor)
    assert isinstance(feeds.error, DataDownloadError)
    assert feeds.error.failure_reason == 'ClientError: Data download failed: input "data": NoSuchKey: s3://b/gone'


def test_what_is_no_gzip_is_an_error(feeds: PipeFeeds, opened: Callable[..., Path]) -> None:
    """It says which object."""
    folder = opened(*streamed(gzip.compress(b"fine"), b"plain"), gzip=True)
    descriptor = os.open(folder / "data_0", os.O_RDONLY)
    wait_until(lambda: feeds.error is not None)
    os.close(descriptor)
    assert 'input "data": s3://b/1: it cannot be decompressed: ' in str(feeds.error)


def test_a_link_in_a_fifos_place_leads_nowhere(opened: Callable[..., Path], tmp_path: Path) -> None:
    """A container may replace the FIFO by a link, or its folder: no file of this machine is written to."""
    folder = opened(*streamed(b"data"))
    secret = tmp_path / "secret"
    secret.write_text("mine")
    (folder / "data_0").unlink()
    (folder / "data_0").symlink_to(secret)
    time.sleep(0.1)
    (folder / "data_0").unlink()
    (folder / "data_0").write_text("a file")
    time.sleep(0.1)
    assert (secret.read_text(), (folder / "data_0").read_text()) == ("mine", "a file")
    (folder / "data_0").unlink()
    os.mkfifo(folder / "data_0")
    assert (folder / "data_0").read_bytes() == b"data"


def test_a_folder_that_is_gone_ends_the_feeding(feeds: PipeFeeds, opened: Callable[..., Path]) -> None:
    """A container that has read what it wanted may tidy up: that is no error."""
    folder = opened(*streamed(b"data" * 1_000_000))
    with (folder / "data_0").open("rb") as fifo:
        shutil.rmtree(folder)
        assert len(fifo.read()) == 4_000_000
    wait_until(lambda: not any(thread.name == "pipe-data" for thread in threading.enumerate()))
    assert feeds.error is None


def test_a_fifo_whose_name_is_taken(feeds: PipeFeeds, tmp_path: Path) -> None:
    """By the folder of another input, say: the job fails before it starts."""
    (tmp_path / "data_1").mkdir()
    with pytest.raises(DataDownloadError, match="its FIFO cannot be made"):
        feeds.open(PipeInput("data", "s3://b/", tmp_path, [], False))


@pytest.mark.parametrize("step", [1, 7, 100_000])
@pytest.mark.parametrize(
    ("compressed", "plain"),
    [
        (b"", b""),
        (gzip.compress(b""), b""),
        (gzip.compress(b"a,b\n" * 1000), b"a,b\n" * 1000),
        (gzip.compress(b"1") + gzip.compress(b"2"), b"12"),
        (gzip.compress(b"1") + bytes(512), b"1"),
    ],
    ids=["nothing", "empty", "one", "two in one", "padded"],  # not the bytes: gzip writes the time into them
)
def test_gzip_in_whatever_chunks_it_comes(compressed: bytes, plain: bytes, step: int) -> None:
    """Empty files, several members and padding are as gzip itself takes them."""
    chunks = (compressed[start : start + step] for start in range(0, len(compressed), step))
    assert b"".join(decompressed(chunks)) == plain


@pytest.mark.parametrize(
    "broken",
    [b"a,b\n", gzip.compress(b"x" * 1000)[:-4], gzip.compress(b"x" * 1000)[:20]],
    ids=["plain", "cut at the end", "cut"],
)
def test_gzip_that_is_none_or_ends_early(broken: bytes) -> None:
    """An error, never a shorter file."""
    with pytest.raises(zlib.error):
        list(decompressed([broken]))


def test_decompression_takes_little_memory() -> None:
    """A small file that holds 200 MB of zeros does not become 200 MB in memory."""
    compressed = gzip.compress(bytes(200_000_000), compresslevel=1)
    tracemalloc.start()
    length = sum(map(len, decompressed([compressed])))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert length == 200_000_000
    assert peak < 8_000_000
