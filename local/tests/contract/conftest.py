"""Fixtures: a local AWS for the session, one for a test alone, and clients of the first."""

from __future__ import annotations

import re
import signal
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from stepbridge_local.testing import LocalAwsProcess


@pytest.fixture(scope="session")
def local_aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAwsProcess]:
    """A local AWS that the whole session shares: tests use names of their own."""
    process = LocalAwsProcess(tmp_path_factory.mktemp("shared-local-aws") / "data")
    process.start()
    yield process
    assert process.stop() == 0, process.log.read_text()


@pytest.fixture
def own_local_aws(tmp_path: Path) -> Iterator[LocalAwsProcess]:
    """A local AWS that one test has for itself, to stop and restart."""
    process = LocalAwsProcess(tmp_path / "data")
    process.start()
    yield process
    if process.is_running:
        process.stop(signal.SIGKILL)


@pytest.fixture
def client(local_aws: LocalAwsProcess) -> Callable[..., Any]:
    """``client(service)``: a boto3 client of the shared local AWS."""
    return local_aws.client


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A name of the test's own, good for a bucket."""
    readable = re.sub("[^a-z0-9]+", "-", request.node.originalname.lower()).strip("-")[5:40].strip("-")
    return f"{readable}-{zlib.crc32(request.node.nodeid.encode()):08x}"
