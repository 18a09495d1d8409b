"""The data folder of a local AWS."""

from __future__ import annotations

from pathlib import Path

from stepbridge_local.persistence.data_folder import DataFolder


def test_a_folder_that_was_there_is_made_private(tmp_path: Path) -> None:
    """An older release, or the person who made it, may have let others read it."""
    path = tmp_path / "data"
    path.mkdir(mode=0o755)
    path.chmod(0o755)
    folder = DataFolder(path)
    folder.hold()
    assert path.stat().st_mode & 0o777 == 0o700
    folder.release()
