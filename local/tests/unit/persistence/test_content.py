"""Content files: what the disk does not take as a whole is no content."""

from __future__ import annotations

import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from stepbridge_local.persistence.content import CHUNK_BYTES, ContentFiles

LIMIT_BYTES = 2 * CHUNK_BYTES + 1000


@pytest.fixture
def limited() -> Iterator[None]:
    """No file of this process gets larger: the last write before the limit is a short one, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT_BYTES, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("size_bytes", [CHUNK_BYTES, 100, 3000])
def test_content_that_does_not_fit_is_refused(limited: None, tmp_path: Path, size_bytes: int) -> None:
    """Nothing is left of it, whatever the size of its chunks; what fits is stored."""
    _ = limited
    files = ContentFiles(tmp_path)
    number = LIMIT_BYTES // size_bytes
    stored = files.receive([b"x" * size_bytes] * number)
    assert stored.path.stat().st_size == stored.size_bytes == number * size_bytes
    with pytest.raises(OSError, match="File too large"):
        files.receive([b"x" * size_bytes] * (number + 1))
    assert [path for path in tmp_path.glob("??/*") if path != stored.path] == []
