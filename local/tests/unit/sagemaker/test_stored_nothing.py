"""What the log of a job that stored nothing says."""

from __future__ import annotations

import os
from pathlib import Path

from stepbridge_local.protocols import ContainerExit
from stepbridge_local.services.sagemaker.stored_nothing import notes_on_silence

REQUEST = {
    "ProcessingInputs": [{"InputName": "data", "S3Input": {"LocalPath": "/opt/ml/processing/input"}}],
    "ProcessingOutputConfig": {
        "Outputs": [{"OutputName": "o", "S3Output": {"LocalPath": "/opt/ml/processing/output"}}]
    },
}
BEGAN = 1_000_000.0
ENDED = ContainerExit(0, None, "/app", ("predictions.csv",))


def write(ml_folder: Path, name: str, seconds: float) -> Path:
    path = ml_folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x")
    os.utime(path, (seconds, seconds))
    return path


def test_it_says_where_the_files_went(tmp_path: Path) -> None:
    """The working directory, and files below /opt/ml that are new; no input, no exit message."""
    (tmp_path / "processing" / "output").mkdir(parents=True)
    write(tmp_path, "processing/input/day.csv", BEGAN - 1)
    write(tmp_path, "config/resourceconfig.json", BEGAN - 1)
    write(tmp_path, "output/message", BEGAN + 1)
    write(tmp_path, "processing/input/scored.csv", BEGAN + 1)
    assert notes_on_silence(REQUEST, tmp_path, ENDED, BEGAN) == [
        "[local AWS] output folder: /opt/ml/processing/output, which is empty",
        "[local AWS] working directory: /app; the job made predictions.csv there",
        "[local AWS] elsewhere: the job wrote /opt/ml/processing/input/scored.csv",
    ]


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    """Links and folders are not stored, and a reader would look for them in vain."""
    output = tmp_path / "processing" / "output"
    (output / "empty").mkdir(parents=True)
    (output / "result.csv").symlink_to("/app/predictions.csv")
    lines = notes_on_silence(REQUEST, tmp_path, ContainerExit(0), BEGAN)
    assert lines == [
        "[local AWS] output folder: /opt/ml/processing/output, in which is no file, only empty, result.csv (a link)"
    ]


def test_nothing_is_said_of_a_job_that_stored_something_or_has_no_output(tmp_path: Path) -> None:
    """One file is enough, also in a subfolder."""
    write(tmp_path, "processing/output/part/1.csv", BEGAN + 1)
    assert notes_on_silence(REQUEST, tmp_path, ENDED, BEGAN) == []
    assert notes_on_silence({}, tmp_path, ENDED, BEGAN) == []
